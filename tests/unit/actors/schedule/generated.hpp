// Schedules for tests, from the generators by name.
#pragma once

#include <string_view>

#include "actors/schedule/generators.hpp"

namespace collie {

inline Schedule generated(std::string_view name, const ScheduleOptions& options) {
  return make_schedule(name, options).value();
}
inline Schedule generated(std::string_view name, int ranks, int micro_batches) {
  return generated(name, {.ranks = ranks, .micro_batches = micro_batches});
}

}  // namespace collie
