#include "actors/schedule/horizons.hpp"

#include <algorithm>

namespace collie {

Horizons prediction_horizons(const Schedule& schedule, int stage, int staleness) {
  const int group = std::max(1, schedule.versions.step_every);
  const auto updates = [&](int micro_batches) { return (micro_batches + group - 1) / group; };
  switch (schedule.versions.correction) {
    case Correction::spec_train:
    case Correction::xpipe:
      return {updates(stage / 2 + schedule.stages() - 1 - stage), updates(stage / 2)};
    case Correction::pipe_optim:
      return {staleness, 0};
    default:
      return {};
  }
}

bool has_predictions(const Schedule& schedule, int stage) {
  return std::ranges::any_of(schedule.programs, [&](const std::vector<Action>& program) {
    return std::ranges::any_of(program, [&](const Action& action) {
      return action.verb == Verb::predict && action.stage == stage;
    });
  });
}

}  // namespace collie
