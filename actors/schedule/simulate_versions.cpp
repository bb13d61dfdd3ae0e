#include "actors/schedule/simulate_versions.hpp"

#include <map>
#include <set>
#include <utility>

#include "actors/schedule/simulate_engine.hpp"

namespace collie {

void assign_versions(const Wiring& wiring, Simulation& simulation) {
  const Schedule& schedule = wiring.schedule();
  const auto stages = static_cast<std::size_t>(schedule.stages());
  std::vector<int> latest(stages * 2, 0);
  for (std::size_t rank = 0; rank < schedule.programs.size(); ++rank) {
    const std::vector<Action>& program = schedule.programs[rank];
    std::vector<TimedAction>& timed = simulation.actions[rank];
    for (std::size_t at = 0; at < timed.size(); ++at) {
      const Action& action = program[at % program.size()];
      const int step = static_cast<int>(at / program.size());
      int& steps = latest[static_cast<std::size_t>(action.direction) * stages +
                          static_cast<std::size_t>(action.stage)];
      timed[at].version = timed[at].forward_version = steps;
      if (action.verb == Verb::step) ++steps;
      if (!has_micro_batch(action.verb)) continue;
      const int micro_batch = step * schedule.micro_batches + action.micro_batch;
      int forward_version =
          version_read(schedule.versions.forward, schedule, micro_batch, steps, steps);
      const ActionPlace forward = repeated_place(schedule, wiring.forward_of(action), step);
      if (action.verb != Verb::forward && forward.exists() &&
          forward.rank == static_cast<int>(rank)) {
        forward_version = timed[static_cast<std::size_t>(forward.position)].version;
      }
      timed[at].forward_version = forward_version;
      timed[at].version = action.verb == Verb::forward || action.verb == Verb::recompute
                              ? forward_version
                              : version_read(schedule.versions.backward, schedule, micro_batch,
                                             steps, forward_version);
    }
  }
}

namespace {

// A version of a stage's weights, in one direction.
struct VersionKey {
  int stage, direction, version;
  auto operator<=>(const VersionKey&) const = default;
};

std::vector<bool> steps_that_copy(const std::vector<Action>& program,
                                  const std::vector<TimedAction>& timed) {
  std::vector<bool> copies(timed.size(), false);
  std::map<std::pair<int, int>, int> steps_in_program;  // by stage and direction
  for (const Action& action : program) {
    if (action.verb == Verb::step) ++steps_in_program[{action.stage, action.direction}];
  }
  const auto named = [&](const Action& action, std::size_t at) {
    const int round = static_cast<int>(at / program.size());
    return VersionKey{
        action.stage, action.direction,
        action.micro_batch + round * steps_in_program[{action.stage, action.direction}]};
  };
  std::set<VersionKey> pinned;
  for (std::size_t at = 0; at < timed.size(); ++at) {
    const Action& action = program[at % program.size()];
    if (action.verb == Verb::pin) pinned.insert(named(action, at));
  }
  std::set<VersionKey> read;  // behind the place where the walk stands
  for (std::size_t at = timed.size(); at-- > 0;) {
    const Action& action = program[at % program.size()];
    const VersionKey key{action.stage, action.direction, timed[at].version};
    const bool reads = action.verb == Verb::forward || action.verb == Verb::recompute ||
                       makes_input_gradient(action.verb);
    if (reads) read.insert(key);
    if (action.verb == Verb::drop) read.insert(named(action, at));
    if (action.verb == Verb::step) copies[at] = read.contains(key) && !pinned.contains(key);
  }
  return copies;
}

}  // namespace

std::vector<std::vector<bool>> steps_that_copy(const Wiring& wiring, const Simulation& simulation) {
  std::vector<std::vector<bool>> copies;
  for (std::size_t rank = 0; rank < simulation.actions.size(); ++rank) {
    copies.push_back(steps_that_copy(wiring.schedule().programs[rank], simulation.actions[rank]));
  }
  return copies;
}

}  // namespace collie
