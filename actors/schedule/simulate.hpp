// A schedule on a clock: discrete events on each rank's compute, send, receive and copy resources.
// Times are in any one unit (seconds for calibrated costs). Pure; linear in the number of actions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "actors/schedule/action_index.hpp"

namespace collie {

// Of one micro-batch on one stage; a slice takes its share (1 / slices).
struct StageCosts {
  double forward = 1.0;
  double input = 1.0;
  double weight = 1.0;
  double recompute = 0.0;         // of R; added to I (or B) where no R is written
  double weight_recompute = 0.0;  // added to W: a split backward may recompute twice
  double overlapped = -1.0;       // an F and a B side by side; negative: their sum
  double step = 0.0;
  double copy = 0.0;  // of keeping a version of the weights: see simulate()
};

// Bytes of one stage and one micro-batch (activations) or of one stage (the rest).
struct StageMemory {
  double activation = 1.0;    // from F to I; where R is written, from R, and `message` until then
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
  std::vector<StageMemory> memory;  // the same; none: the defaults for all
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

enum class IdleCause : unsigned char {
  none,
  dependency,     // its input was not made yet
  communication,  // ... was made, and under way for the greater part of the wait
  credit,         // the link of its output held all the messages it may
  step,           // another rank's STEP, a FENCE, a reduction between replicas, a copy of weights
  fill,           // a dependency before the rank's first backward of the step
  drain,          // a dependency after its last forward, and what comes after its last action
};
std::string_view name_of(IdleCause cause);

struct TimedAction {
  double begin = 0.0, end = 0.0;
  IdleCause idle = IdleCause::none;  // why the rank idled right before it
  ActionPlace blamed;                // the action it waited for, in the repeated programs
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
  // As the programs, repeated for each step; under a policy in the order in which they ran.
  std::vector<std::vector<TimedAction>> actions;
  std::vector<std::vector<int>> order;  // policy: where `actions` are written in the programs
  int steps = 1;
  double makespan = 0.0;                         // of all steps
  std::vector<double> span;                      // per rank: own first begin to own last end
  std::vector<double> busy;                      // per rank
  double steady_period = 0.0;                    // time per step, when several were simulated
  std::vector<std::vector<MemoryPoint>> memory;  // per rank, at each change; empty if not asked
  std::vector<double> peak_memory;               // per rank, all classes
  double idle_of(IdleCause cause) const;         // over all ranks
};

struct SimulateOptions {
  int steps = 1;            // how often the whole schedule runs
  bool with_memory = true;  // timelines; peaks are always there
};

// What starts when is what ProgramCursor decides in a run, with one action at a time: in program
// order, or what the schedule's policy chooses, when the input has arrived and the output's link
// (of each stage to each neighbour stage on another rank) has credit, which an action takes when it
// begins and the reader gives back when it begins. Under occupancy a rank sends and receives one
// message at a time, in the order in which they were made. Messages and other verbs of lowered
// programs are part of F, I and B: they take no time of their own. A version of weights that is
// read after the STEP behind it has to be copied before that STEP. PIN begins the copy, and the
// rank goes on; without a PIN the STEP begins it, and waits. A rank copies one version at a time.
// The schedule must have passed validate(): one that cannot finish is an error that names the ranks
// that wait. Another error names a cost that is missing, negative or not finite.
Result<Simulation> simulate(const Schedule& schedule, const CostModel& costs,
                            const SimulateOptions& options = {});

// What ran where a policy chose: the programs in the order of simulation.actions, all steps one
// after the other, and no policy. Else the schedule itself.
Schedule as_run(const Schedule& schedule, const Simulation& simulation);

// Of a periodic schedule (each step the same program), exactly: the time from one step to the next
// in the steady state, and the actions on the cycle that sets it, by max-plus analysis (Cohen,
// Dubois, Quadrat and Viot 1985; Howard's algorithm or the like).
// Mean times (no jitter), and messages that are a latency or a rendezvous: links that are shared
// first come, first served have no period of this kind, nor have a policy's choices, nor copies
// that PIN begins: they are errors.
struct SteadyState {
  double period = 0.0;
  std::vector<std::string> critical_cycle;  // "rank 0: 0F3", in order
};
Result<SteadyState> steady_state(const Schedule& schedule, const CostModel& costs);

}  // namespace collie
