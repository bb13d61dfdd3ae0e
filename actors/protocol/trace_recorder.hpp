// Keeps what a rank does in a round, for rounds whose trace is wanted. Pure: the times come with
// the completions.
#pragma once

#include <vector>

#include "actors/protocol/program_cursor.hpp"
#include "actors/protocol/work.hpp"

namespace collie {

class TraceRecorder {
 public:
  void begin_round(bool is_wanted, std::size_t hosted_count);
  // updates_in_program: STEP is a work of the program, not the end of the round.
  void completed(const Completion& completion, std::size_t hosted, const HostedStage& stage,
                 bool updates_in_program);
  // Of one hosted shard; empty when not wanted.
  std::vector<TracedAction> take(std::size_t hosted) { return std::move(traces_[hosted]); }

 private:
  bool is_wanted_ = false;
  std::vector<std::vector<TracedAction>> traces_;  // by hosted shard
  int count_ = 0;
  double paused_since_s_ = 0.0;  // begin of the work that has paused at a reduction
};

}  // namespace collie
