// Simulations for tests, in words.
#pragma once

#include <fmt/format.h>

#include <string>

#include "actors/schedule/simulate.hpp"
#include "tests/unit/actors/schedule/generated.hpp"

namespace collie {

inline CostModel unit_costs() {
  CostModel costs;
  costs.stages = {{}};
  return costs;
}

// "0F0 0..1, ...": begin and end of each action of a rank.
inline std::string times_of(const Schedule& schedule, const Simulation& simulation,
                            std::size_t rank) {
  std::string text;
  for (std::size_t at = 0; at < simulation.actions[rank].size(); ++at) {
    const TimedAction& timed = simulation.actions[rank][at];
    const auto& program = schedule.programs[rank];
    text += fmt::format("{}{} {:g}..{:g}", text.empty() ? "" : ", ",
                        to_string(program[at % program.size()]), timed.begin, timed.end);
  }
  return text;
}

}  // namespace collie
