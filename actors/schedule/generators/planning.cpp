#include "actors/schedule/generators/planning.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace collie {

Status check_planning_options(std::string_view name, const ScheduleOptions& options) {
  const std::pair<std::string_view, double> amounts[] = {
      {"forward", options.forward},       {"input", options.input},
      {"weight", options.weight},         {"communication", options.communication},
      {"activation", options.activation}, {"weight_stash", options.weight_stash},
      {"memory_cap", options.memory_cap},
  };
  for (const auto& [key, amount] : amounts) {
    if (!std::isfinite(amount) || amount < 0.0) {
      return make_error(ErrorCode::invalid_config,
                        "schedule {}: {} is {}; it takes a finite number, 0 or up", name, key,
                        amount);
    }
  }
  if (options.activation == 0.0 || options.weight_stash > options.activation) {
    return make_error(
        ErrorCode::invalid_config,
        "schedule {}: of activation {}, weight_stash {} would stay for W; activation must be "
        "above 0 and weight_stash a part of it",
        name, options.activation, options.weight_stash);
  }
  return ok_status();
}

double peak_activation_bytes(const Schedule& schedule, int rank, const ScheduleOptions& options) {
  const double chunks = schedule.placement.chunks(rank);
  const double kept = options.activation / chunks;
  const double stash = options.weight_stash / chunks;
  double bytes = 0.0;
  double peak = 0.0;
  for (const Action& action : schedule.programs[static_cast<std::size_t>(rank)]) {
    if (action.verb == Verb::forward) bytes += kept;
    if (action.verb == Verb::backward_input) bytes -= kept - stash;
    if (action.verb == Verb::backward_weight) bytes -= stash;
    if (action.verb == Verb::backward) bytes -= kept;
    peak = std::max(peak, bytes);
  }
  return peak;
}

Result<Schedule> within_memory_cap(Schedule schedule, const ScheduleOptions& options) {
  if (options.memory_cap == 0.0) return schedule;
  for (int rank = 0; rank < schedule.ranks(); ++rank) {
    const double peak = peak_activation_bytes(schedule, rank, options);
    if (peak > rounded_up(options.memory_cap)) {
      return make_error(
          ErrorCode::invalid_config,
          "schedule {}: rank {} holds up to {} bytes of activations, memory_cap is {}; raise "
          "the cap or take a schedule that holds less",
          schedule.name, rank, peak, options.memory_cap);
    }
  }
  return schedule;
}

}  // namespace collie
