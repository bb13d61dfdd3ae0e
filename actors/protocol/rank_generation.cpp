// RankCore: a round of Mode::generate.
#include <algorithm>
#include <functional>
#include <utility>

#include "actors/protocol/rank_core.hpp"

namespace collie {

void RankCore::begin_generation() {
  generations_.resize(config_.hosted.size());
  has_generated_.assign(generations_.size(), false);
  for (std::size_t hosted = 0; hosted < generations_.size(); ++hosted) {
    generations_[hosted].begin(begin_.generation, config_.hosted[hosted].id.replica,
                               config_.grid.dp, config_.replicas_wait);
  }
}

// Of the stages that a rank hosts the one with the earliest turn is next, the first of equals. All
// ranks go by this order, in which no turn stands before one that it needs, so they need no credit:
// a group has one message under way.
std::optional<std::size_t> RankCore::next_to_generate() {
  while (true) {
    std::optional<std::size_t> next;
    for (std::size_t hosted = 0; hosted < generations_.size(); ++hosted) {
      if (has_generated_[hosted]) continue;
      const bool is_earlier =
          !next || generations_[hosted].rotation() < generations_[*next].rotation();
      if (is_earlier) next = hosted;
    }
    if (!next) return std::nullopt;
    GenerationCore& generation = generations_[*next];
    const std::uint32_t rotation = generation.rotation();
    const GenerationCore::State state = generation.settle(round_, inboxes_[*next]);
    if (state == GenerationCore::State::over) {
      has_generated_[*next] = true;
    } else if (generation.rotation() == rotation) {
      return state == GenerationCore::State::ready ? next : std::nullopt;
    }
  }
}

void RankCore::advance_generation(Commands& out) {
  while (in_flight_ < config_.depth) {
    const std::optional<std::size_t> next = next_to_generate();
    if (!next) break;
    Inbox& inbox = inboxes_[*next];
    const Stamp at = stamp(static_cast<int>(generations_[*next].turn()));
    const bool is_first = config_.hosted[*next].stage.is_first;
    const InboxKey input_key = activation_key(at.round, at.micro_batch);
    if (!is_first && !inbox.has(input_key)) break;
    Work work = generations_[*next].take_turn(round_, inbox);
    work.stamp = at;
    if (!is_first) {
      Message input = inbox.take(input_key);
      work.tensor = std::move(std::get<Activation>(input).tensor_td);
    }
    reductions_[*next].work_started();
    issue(*next, std::move(work), out);
  }
  const bool is_over = std::ranges::all_of(has_generated_, std::identity());
  if (is_over && in_flight_ == 0) end_program(out);
}

// The first shard of the last stage has drawn the tokens of a turn.
void RankCore::tell_sampled(const Completion& completion, std::size_t hosted, Commands& out) const {
  const ShardId& self = config_.hosted[hosted].id;
  if (completion.kind != WorkKind::forward || !config_.hosted[hosted].stage.is_last) return;
  if (self.tensor != 0) return;
  const bool is_idle =
      generations_[hosted].is_idle_after(completion.stamp.micro_batch, completion.ids);
  const Sampled sampled{completion.stamp, self.replica, completion.ids, is_idle};
  for (int index = 0; index < config_.grid.shard_count(); ++index) {
    const ShardId to = shard_at(config_.grid, index);
    if (!config_.replicas_wait && to.replica != self.replica) continue;
    out.emplace_back(Send{shard_address(to), sampled});
  }
}

void RankCore::report_generated(std::size_t hosted, RoundReport& report) {
  const HostedShard& shard = config_.hosted[hosted];
  if (shard.stage.is_last && shard.id.tensor == 0) {
    report.generated = generations_[hosted].take_generated();
  }
}

}  // namespace collie
