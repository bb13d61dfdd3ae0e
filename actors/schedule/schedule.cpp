#include "actors/schedule/schedule.hpp"

#include <algorithm>

namespace collie {

std::size_t Schedule::action_count() const {
  std::size_t count = 0;
  for (const std::vector<Action>& program : programs) count += program.size();
  return count;
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
