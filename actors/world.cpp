#include "actors/world.hpp"

#include <algorithm>
#include <span>

namespace collie {

void check_executors(const WorldOptions& options, const Executors& executors) {
  COLLIE_CHECK(executors.size() == static_cast<std::size_t>(options.grid.shard_count()),
               "{} executors for a grid of {} shards", executors.size(),
               options.grid.shard_count());
}

void RankStreams::assign(int index, ModelExecutorOptions& options) {
  std::shared_ptr<Stream>& stream = streams_[hosts_[static_cast<std::size_t>(index)]];
  options.reports_memory = stream == nullptr;
  if (stream == nullptr) stream = std::make_shared<Stream>(options.stream);
  options.shared_stream = stream;
}

namespace {

// The ranks of one pipeline, tensor shards included, wait for each other at a FENCE.
void meet_at_fences(std::span<RankCoreConfig> pipeline) {
  const bool has_fences = std::ranges::any_of(pipeline, [](const RankCoreConfig& config) {
    return std::ranges::count(config.program, Verb::fence, &Action::verb) > 0;
  });
  if (!has_fences) return;
  Exchange ranks{Purpose::fence, {}, 0};
  for (const RankCoreConfig& config : pipeline) ranks.group.push_back(config.hosted.front().id);
  for (RankCoreConfig& config : pipeline) {
    config.fence = ranks;
    ++ranks.rank;
  }
}

// The ranks of one pipeline, tensor rank by tensor rank, hand partial norms on.
void chain_norms(std::span<RankCoreConfig> pipeline, int tensor_shards) {
  const auto shards = static_cast<std::size_t>(tensor_shards);
  for (std::size_t i = 0; i < pipeline.size(); ++i) {
    NormChain& chain = pipeline[i].norms;
    chain.is_used = true;
    chain.rank = static_cast<int>(i / shards);
    chain.tensor = static_cast<int>(i % shards);
    for (std::size_t peer = i - i % shards, end = peer + shards; peer < end; ++peer) {
      chain.peers.push_back(pipeline[peer].hosted.front().id);
    }
    if (i + shards < pipeline.size()) chain.next = pipeline[i + shards].hosted.front().id;
  }
}

}  // namespace

std::vector<RankCoreConfig> rank_core_configs(const WorldOptions& options,
                                              const Executors& executors) {
  std::vector<RankCoreConfig> configs;
  for (HostRank& rank : host_ranks(options.grid, options.schedule)) {
    RankCoreConfig& config = configs.emplace_back();
    config.run = options.run;
    config.grid = options.grid;
    config.ranks = options.schedule.ranks();
    config.program = std::move(rank.program);
    config.policy = options.schedule.policy;
    config.slices = options.schedule.slices;
    config.version_uses = std::move(rank.version_uses);
    // What is proved for messages that wait for their receiver holds for mailboxes with room.
    config.credit = std::max(1, options.schedule.channel.credit);
    config.depth = options.depth;
    config.hosted = std::move(rank.shards);
    for (HostedShard& shard : config.hosted) {
      const auto index = static_cast<std::size_t>(index_of(options.grid, shard.id));
      shard.exchanges = executors[index]->exchanges();
      shard.values = executors[index]->value_layout();
      if (executors[index]->pauses_in_program()) config.depth = 1;
      config.replicas_wait = shard.values.copies;
    }
  }
  const auto of_pipeline = static_cast<std::size_t>(options.schedule.ranks() * options.grid.tp);
  for (std::size_t first = 0; first < configs.size(); first += of_pipeline) {
    meet_at_fences(std::span(configs).subspan(first, of_pipeline));
    if (options.post_validates) {
      chain_norms(std::span(configs).subspan(first, of_pipeline), options.grid.tp);
    }
  }
  return configs;
}

}  // namespace collie
