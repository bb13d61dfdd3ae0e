#include "actors/schedule/makespan.hpp"

#include <algorithm>
#include <map>
#include <optional>

namespace collie {

namespace {

// When the output of an action (stage, micro-batch) exists.
using Times = std::map<std::pair<int, int>, double>;

std::optional<double> time_of(const Times& times, int stage, int micro_batch) {
  const auto found = times.find({stage, micro_batch});
  if (found == times.end()) return std::nullopt;
  return found->second;
}

}  // namespace

double makespan(const Schedule& schedule, const std::vector<double>& forward_s,
                const std::vector<double>& backward_s) {
  Times forwards;
  Times gradients;
  std::vector<std::size_t> cursors(schedule.programs.size(), 0);
  std::vector<double> clocks(schedule.programs.size(), 0.0);
  const auto input_time = [&](const Action& action) -> std::optional<double> {
    const bool forward = action.verb == Verb::forward;
    const bool needs_gradient =
        action.verb == Verb::backward || action.verb == Verb::backward_input;
    if (forward && action.stage > 0) return time_of(forwards, action.stage - 1, action.micro_batch);
    if (needs_gradient && action.stage < schedule.stages() - 1) {
      return time_of(gradients, action.stage + 1, action.micro_batch);
    }
    return 0.0;
  };
  for (bool progress = true; progress;) {
    progress = false;
    for (std::size_t rank = 0; rank < cursors.size(); ++rank) {
      if (cursors[rank] == schedule.programs[rank].size()) continue;
      const Action& action = schedule.programs[rank][cursors[rank]];
      const std::optional<double> ready = input_time(action);
      if (!ready) continue;
      const auto stage = static_cast<std::size_t>(action.stage);
      double cost = action.verb == Verb::forward ? forward_s[stage] : backward_s[stage];
      if (action.verb == Verb::step) cost = 0.0;
      if (action.verb == Verb::backward_input || action.verb == Verb::backward_weight) cost /= 2.0;
      clocks[rank] = std::max(clocks[rank], *ready) + cost;
      if (action.verb == Verb::forward) forwards[{action.stage, action.micro_batch}] = clocks[rank];
      if (action.verb == Verb::backward || action.verb == Verb::backward_input) {
        gradients[{action.stage, action.micro_batch}] = clocks[rank];
      }
      ++cursors[rank];
      progress = true;
    }
  }
  return *std::max_element(clocks.begin(), clocks.end());
}

}  // namespace collie
