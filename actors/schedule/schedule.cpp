#include "actors/schedule/schedule.hpp"

#include <algorithm>

namespace collie {

std::size_t Schedule::action_count() const {
  std::size_t count = 0;
  for (const std::vector<Action>& program : programs) count += program.size();
  return count;
}

int version_read(VersionRule rule, const Schedule& schedule, int micro_batch, int latest,
                 int of_forward) {
  const int every = schedule.versions.step_every;
  const int group = every > 0 ? every : schedule.micro_batches;
  switch (rule) {
    case VersionRule::stashed:
      return of_forward;
    case VersionRule::previous_group:
      return std::max(0, micro_batch / group - 1);
    case VersionRule::vertical:
      return std::max(0, micro_batch - (schedule.stages() - 1));
    default:
      return latest;
  }
}

int peak_in_flight(const Schedule& schedule, int rank) {
  int in_flight = 0;
  int peak = 0;
  for (const Action& action : schedule.programs[static_cast<std::size_t>(rank)]) {
    if (action.verb == Verb::forward) peak = std::max(peak, ++in_flight);
    if (makes_weight_gradient(action.verb)) --in_flight;
  }
  return peak;
}

}  // namespace collie
