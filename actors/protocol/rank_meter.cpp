#include "actors/protocol/rank_meter.hpp"

#include <algorithm>

namespace collie {

namespace {

// The work that schedules are about; what ends a synchronous round is not.
bool is_of_program(WorkKind kind) {
  switch (kind) {
    case WorkKind::forward:
    case WorkKind::backward_input:
    case WorkKind::backward_weight:
    case WorkKind::backward:
    case WorkKind::recompute:
    case WorkKind::predict:
    case WorkKind::update:
      return true;
    default:
      return false;
  }
}

}  // namespace

void RankMeter::begin_round(std::uint32_t round, std::size_t waiting) {
  std::erase_if(rounds_, [round](const auto& entry) { return entry.first + 2 < round; });
  present_ = round;
  rounds_[round] = {};
  waits(waiting);
}

void RankMeter::waits(std::size_t messages) {
  const auto found = rounds_.find(present_);
  if (found == rounds_.end()) return;
  int& depth = found->second.use.mailbox_depth;
  depth = std::max(depth, static_cast<int>(messages));
}

void RankMeter::completed(const Completion& completion) {
  if (!is_of_program(completion.kind)) return;
  const auto found = rounds_.find(completion.stamp.round);
  if (found == rounds_.end()) return;
  Round& round = found->second;
  if (!round.has_begun) round.begin_s = completion.begin_s;
  round.has_begun = true;
  round.end_s = completion.end_s;
  round.use.busy_s += completion.end_s - completion.begin_s;
}

RankUse RankMeter::take(std::uint32_t round) {
  const auto found = rounds_.find(round);
  if (found == rounds_.end()) return {};
  RankUse use = found->second.use;
  use.is_measured = true;
  use.span_s = found->second.end_s - found->second.begin_s;
  return use;
}

}  // namespace collie
