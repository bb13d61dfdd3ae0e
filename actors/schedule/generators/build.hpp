// Words that generators are written in.
#pragma once

#include <utility>

#include "actors/schedule/generators.hpp"

namespace collie {

// An empty schedule on a placement, with a program for each rank.
inline Schedule empty_schedule(std::string_view name, Placement placement, int micro_batches) {
  Schedule schedule{
      .name = std::string(name), .placement = std::move(placement), .micro_batches = micro_batches};
  schedule.programs.resize(static_cast<std::size_t>(schedule.ranks()));
  return schedule;
}

// STEP at the end of every rank's program, for each stage it holds.
inline Schedule with_steps(Schedule schedule) {
  for (int direction = 0; direction < schedule.placement.directions(); ++direction) {
    for (int stage = 0; stage < schedule.stages(); ++stage) {
      const auto rank = static_cast<std::size_t>(schedule.placement.rank_of(stage, direction));
      schedule.programs[rank].push_back(
          {.verb = Verb::step, .stage = stage, .direction = static_cast<signed char>(direction)});
    }
  }
  return schedule;
}

}  // namespace collie
