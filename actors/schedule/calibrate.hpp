// Costs from a run: what the simulator needs to predict the run it was taken from, and others on
// the same machine. Pure.
#pragma once

#include <string>
#include <vector>

#include "actors/schedule/conformance.hpp"
#include "actors/schedule/simulate.hpp"

namespace collie {

// How far the prediction is from the run for one kind of action of one stage.
struct Residual {
  std::string what;            // "stage 0 F"
  double measured_s = 0.0;     // median time of the action in the run
  double begins_late_s = 0.0;  // median of measured begin - predicted begin, within the step
  double worst_late_s = 0.0;   // the largest by size
};

struct Calibration {
  CostModel costs;           // seconds; STEP of a synchronous schedule is in barrier_s
  double overhead_s = 0.0;   // from an action's end to the next one's begin, when that could start
  double barrier_s = 0.0;    // from the last action of all ranks to the last end of STEP
  double measured_s = 0.0;   // median time of a step
  double predicted_s = 0.0;  // the simulator's
  std::vector<Residual> residuals;
};

// steps: traces of one or more steps that conform to the schedule (the first step of a run is not
// representative: leave it out). B is divided evenly into I and W where they do not occur alone.
Result<Calibration> calibrate(const Schedule& schedule, const std::vector<Trace>& steps);

}  // namespace collie
