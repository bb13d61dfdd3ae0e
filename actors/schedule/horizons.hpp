// How far weights are predicted ahead. Pure.
#pragma once

#include "actors/schedule/schedule.hpp"

namespace collie {

// In the stage's updates; 0: the weights as they are.
struct Horizons {
  int forward = 0;
  int backward = 0;
};

// By the schedule's correction, for a stage k of N = schedule.stages(). PipeOptim's forwards reach
// as far as their own update: the staleness that the contract promises of the stage, which for one
// stage a rank is the paper's N - 1 - k. SpecTrain and XPipe count micro-batches, floor(k/2) + N -
// k - 1 in forwards and floor(k/2) in backwards; in updates of `step_every` these are rounded up.
// Other corrections predict nothing.
Horizons prediction_horizons(const Schedule& schedule, int stage, int staleness);

// The schedule's programs say where the stage's weights are predicted.
bool has_predictions(const Schedule& schedule, int stage);

}  // namespace collie
