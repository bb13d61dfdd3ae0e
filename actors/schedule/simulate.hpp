// A schedule on a clock: discrete events on each rank's compute, send and receive resources. Times
// are in any one unit (seconds for calibrated costs). Pure; linear in the number of actions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "actors/schedule/action_index.hpp"

namespace collie {

struct StageCosts {
  double forward = 1.0;
  double input = 1.0;
  double weight = 1.0;
  double recompute = 0.0;    // added to I (or B) where no R is written
  double overlapped = -1.0;  // an F and a B side by side; negative: their sum
  double step = 0.0;
};

// Bytes of one stage and one micro-batch (activations) or of one stage (the rest).
struct StageMemory {
  double activation = 1.0;    // from F to I
  double weight_stash = 0.5;  // of these, what stays from I to W
  double weights = 0.0;       // of one version
  double gradients = 0.0;
  double optimizer = 0.0;
  double message = 0.0;  // a boundary tensor, from its arrival to its use
};

enum class MessageModel {
  latency,     // a delay only
  occupancy,   // the sender's and the receiver's link are busy for latency + bytes / bandwidth
  rendezvous,  // ... and the sender's compute too, until the receiver takes it
};

struct CostModel {
  std::vector<StageCosts> stages;   // one per stage, or one for all
  std::vector<StageMemory> memory;  // the same
  MessageModel messages = MessageModel::latency;
  double latency = 0.0;    // between ranks; messages within a rank are free
  double bandwidth = 0.0;  // bytes per unit of time; 0: unbounded
  double jitter = 0.0;     // standard deviation of an action's time over its mean (lognormal)
  std::uint64_t seed = 0;
  const StageCosts& stage(int index) const {
    return stages[stages.size() == 1 ? 0 : static_cast<std::size_t>(index)];
  }
  const StageMemory& memory_of(int index) const {
    return memory[memory.size() == 1 ? 0 : static_cast<std::size_t>(index)];
  }
};

enum class IdleCause { none, dependency, communication, credit, step, fill, drain };
std::string_view name_of(IdleCause cause);

struct TimedAction {
  double begin = 0.0, end = 0.0;
  IdleCause idle = IdleCause::none;  // why the rank idled right before it
  ActionPlace blamed;                // the action it waited for
  int forward_version = 0;           // F: the version read; I, W, B: that of its forward
  int version = 0;                   // the version this action reads
};

enum class MemoryClass { activations, weight_stash, weights, gradients, optimizer, buffers };
inline constexpr int memory_class_count = 6;
std::string_view name_of(MemoryClass memory_class);

struct MemoryPoint {
  double time = 0.0;
  double bytes[memory_class_count] = {};  // NOLINT(modernize-avoid-c-arrays)
};

struct Simulation {
  std::vector<std::vector<TimedAction>> actions;  // as the programs, repeated for each step
  int steps = 1;
  double makespan = 0.0;                         // of all steps
  std::vector<double> span;                      // per rank: own first begin to own last end
  std::vector<double> busy;                      // per rank
  double steady_period = 0.0;                    // time per step, when several were simulated
  std::vector<std::vector<MemoryPoint>> memory;  // per rank, at each change; empty if not asked
  std::vector<double> peak_memory;               // per rank, all classes
  double idle_of(IdleCause cause) const;         // over all ranks
};

struct SimulationOptions {
  int steps = 1;            // how often the whole schedule runs
  bool with_memory = true;  // timelines; peaks are always there
};

// The schedule must have passed validate(). An error names a cost that is missing or not finite.
Result<Simulation> simulate(const Schedule& schedule, const CostModel& costs,
                            const SimulationOptions& options = {});

// Of a periodic schedule (each step the same program), exactly: the time from one step to the next
// in the steady state, and the actions on the cycle that sets it, by max-plus analysis (Cohen,
// Dubois, Quadrat and Viot 1985; Howard's algorithm or the like).
struct SteadyState {
  double period = 0.0;
  std::vector<std::string> critical_cycle;  // "rank 0: 0F3", in order
};
Result<SteadyState> steady_state(const Schedule& schedule, const CostModel& costs);

}  // namespace collie
