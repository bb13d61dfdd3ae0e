// What a run did, action by action, and the proof that it followed its schedule. Pure.
#pragma once

#include <vector>

#include "actors/schedule/schedule.hpp"

namespace collie {

// Times are seconds on one clock of the process. STEP: from the end of the program to the end of
// the update.
struct TracedAction {
  Action action;
  int position = 0;  // in the order in which its rank started them
  double begin_s = 0.0;
  double end_s = 0.0;
};

// One list for each rank of the schedule, in the order of starting.
using Trace = std::vector<std::vector<TracedAction>>;

// Whether the trace is a linearisation of the schedule: each rank did exactly its program, in its
// order, one action after the other, and nothing began before what it depends on had ended. The
// error names the first action that did not.
Status check_conformance(const Schedule& schedule, const Trace& trace);

// The schedule that a trace is a run of, where a policy chose: the same, with the order in which
// the ranks did things as their programs, and no policy.
Schedule recorded(const Schedule& schedule, const Trace& trace);

}  // namespace collie
