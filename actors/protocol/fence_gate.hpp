// A FENCE seen from one rank: it tells all other ranks of its pipeline that it has done what is
// before, and goes on when all of them have. Pure.
#pragma once

#include <string>

#include "actors/protocol/group_exchange.hpp"

namespace collie {

class FenceGate {
 public:
  // ranks: the first hosted shard of each rank, and which of them this is; no group: no FENCEs.
  explicit FenceGate(Exchange ranks) : ranks_(std::move(ranks)) {}

  void begin_round() {
    passed_ = 0;
    is_waiting_ = false;
  }
  // Asked whenever the rank stands at a FENCE with nothing on its stream; true once for each FENCE.
  // stamp: the round's. inbox: of the first hosted shard.
  bool may_pass(const Stamp& stamp, Inbox& inbox, Commands& out);
  bool is_waiting() const { return is_waiting_; }
  std::string describe() const;  // "FENCE 2"

 private:
  Exchange ranks_;
  PartCollection parts_;
  std::uint32_t passed_ = 0;  // in this round
  bool is_waiting_ = false;
};

}  // namespace collie
