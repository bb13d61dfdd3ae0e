#include "actors/world.hpp"

#include <algorithm>

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
    config.version_uses = std::move(rank.version_uses);
    // What is proved for messages that wait for their receiver holds for mailboxes with room.
    config.credit = std::max(1, options.schedule.channel.credit);
    config.depth = options.grid.tp == 1 ? options.depth : 1;
    config.hosted = std::move(rank.shards);
    for (HostedShard& shard : config.hosted) {
      const auto index = static_cast<std::size_t>(index_of(options.grid, shard.id));
      shard.exchanges = executors[index]->exchanges();
    }
  }
  return configs;
}

}  // namespace collie
