// What every view is given: a schedule and its times, simulated or measured, and what is said about
// them in one line or a few numbers. Pure.
#pragma once

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "actors/schedule/simulate.hpp"
#include "actors/schedule/validate.hpp"

namespace collie {

// The views keep no pointers beyond the call. The simulation is of this schedule: its actions[rank]
// are the rank's program, once or several times over. Measured times come in the same shape.
struct Picture {
  std::string title;
  std::string note = {};  // where the times come from; may be empty
  const Schedule* schedule = nullptr;
  const Simulation* simulation = nullptr;
  const Validation* validation = nullptr;  // may be null: then staleness and versions are not shown
};

// The action behind simulation.actions[rank][index].
const Action& action_at(const Schedule& schedule, int rank, std::size_t index);

// "0F3 on rank 0", or empty where the place does not exist. The position may count through the
// repetitions of the program.
std::string describe_place(const Schedule& schedule, ActionPlace place);

// How a schedule did, in numbers that can be compared. Times in the simulation's unit.
struct Figures {
  double makespan = 0.0;         // of all simulated steps, first begin to last end
  double span = 0.0;             // the longest of the ranks' own first begin to own last end
  double bubble_makespan = 0.0;  // idle share of ranks x makespan
  double bubble_span = 0.0;      // idle share of ranks x span: the zero-bubble papers' rate
  double steady_period = 0.0;    // of one step, where several were simulated; else 0
  double peak_memory = 0.0;      // of the fullest rank
  int peak_rank = 0;
  int staleness = -1, mismatch = -1, versions = -1;  // the most of all stages; -1: not known
  std::array<double, 7> idle = {};                   // of all ranks, by IdleCause
};
Figures figures_of(const Picture& picture);

inline constexpr std::array idle_causes = {IdleCause::fill,          IdleCause::dependency,
                                           IdleCause::communication, IdleCause::credit,
                                           IdleCause::step,          IdleCause::drain};

// "12.5", "0.333", "1.2e+06": four significant digits, no trailing zeros.
std::string short_number(double value);
std::string percent(double share);  // "12.3 %"

// Label and value of each line of a summary, the same lines for every picture.
std::vector<std::pair<std::string, std::string>> summary_of(const Picture& picture);

}  // namespace collie
