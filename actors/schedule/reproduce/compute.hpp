// Words that the tables are written in.
#pragma once

#include <algorithm>
#include <string>

#include "actors/schedule/generators.hpp"
#include "actors/schedule/reproduce/reproduce.hpp"
#include "actors/schedule/simulate.hpp"

namespace collie {

// Published figures assume channels that hold whatever is sent.
inline Result<Schedule> unbounded_schedule(std::string_view name, const ScheduleOptions& options) {
  COLLIE_TRY(Schedule schedule, make_schedule(name, options));
  schedule.channel.credit = schedule.micro_batches * schedule.slices;
  return schedule;
}

inline double longest_span(const Simulation& simulation) {
  return *std::ranges::max_element(simulation.span);
}

// What the busiest rank leaves of the makespan.
inline double idle_time(const Simulation& simulation) {
  return simulation.makespan - *std::ranges::max_element(simulation.busy);
}

inline double highest_peak(const Simulation& simulation) {
  return *std::ranges::max_element(simulation.peak_memory);
}

// A row that compares two texts; `ours` may have failed, which is then its text.
inline ReproducedRow compared(std::string what, std::string published,
                              const Result<std::string>& ours, std::string note = "") {
  const bool passes = ours.ok() && ours.value() == published;
  return {std::move(what), std::move(published), ours.ok() ? ours.value() : ours.error().message,
          passes, std::move(note)};
}

}  // namespace collie
