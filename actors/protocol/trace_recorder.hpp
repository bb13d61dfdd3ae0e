// Keeps what a rank does in a round, for rounds whose trace is wanted. Two rounds may be under way:
// with post-validation the next begins before the present one is validated. Pure: the times come
// with the completions.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "actors/protocol/program_cursor.hpp"
#include "actors/protocol/work.hpp"

namespace collie {

class TraceRecorder {
 public:
  void begin_round(std::uint32_t round, bool is_wanted, std::size_t hosted_count);
  // updates_in_program: STEP is a work of the program, not the end of the round. An update that is
  // rolled back was none.
  void completed(const Completion& completion, std::size_t hosted, const HostedStage& stage,
                 bool updates_in_program);
  // The round was given up: what was done in it is no part of the run.
  void forget(std::uint32_t round);
  // Of one hosted shard; empty when not wanted.
  std::vector<TracedAction> take(std::uint32_t round, std::size_t hosted);

 private:
  struct Round {
    std::vector<std::vector<TracedAction>> traces;  // by hosted shard
    int count = 0;
  };

  std::map<std::uint32_t, Round> rounds_;  // whose traces are wanted
  double paused_since_s_ = 0.0;            // begin of the work that has paused at a reduction
};

}  // namespace collie
