#include "actors/protocol/round_order.hpp"

namespace collie {

void RoundOrder::hear(const BeginRound& begin) {
  const std::uint32_t round = begin.stamp.round;
  if (round > last_ && round > given_up_) waiting_.emplace(round, begin);
}

bool RoundOrder::give_up(std::uint32_t round) {
  if (round <= given_up_) return false;
  given_up_ = round;
  waiting_.erase(round);
  return true;
}

std::optional<BeginRound> RoundOrder::take_next(std::uint32_t current, bool ended, bool updated) {
  if (waiting_.empty()) return std::nullopt;
  const BeginRound begin = waiting_.begin()->second;
  const bool may = ended || (updated && begin.may_overtake);
  if (begin.follows != current || !may) return std::nullopt;
  waiting_.erase(waiting_.begin());
  last_ = begin.stamp.round;
  return begin;
}

}  // namespace collie
