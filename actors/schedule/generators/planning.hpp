// What the generators that plan with costs and memory share.
#pragma once

#include <string_view>

#include "actors/schedule/generators.hpp"

namespace collie {

// Times and bytes must be finite and not negative, the activation positive and no smaller than the
// part of it that waits for W. The error names the option.
Status check_planning_options(std::string_view name, const ScheduleOptions& options);

// The most bytes of activations that a rank holds at once: a chunk's share of `activation` from F
// to I, its share of `weight_stash` from there to W (B frees all of it).
double peak_activation_bytes(const Schedule& schedule, int rank, const ScheduleOptions& options);

// The schedule itself, or, where options.memory_cap is not 0 and some rank needs more, an error
// that says how much is needed.
Result<Schedule> within_memory_cap(Schedule schedule, const ScheduleOptions& options);

// Sums of bytes are rounded; a cap is meant to admit what reaches it exactly.
inline double rounded_up(double cap) {
  return cap * (1.0 + 1e-9);
}

}  // namespace collie
