// What a schedule's correction means for one of its stages, in the stage's own updates. Pure.
#pragma once

#include "actors/schedule/schedule.hpp"
#include "models/delay_correction.hpp"

namespace collie {

// The delays of PipeMare's are those that the contract promises of the stage; the horizons of the
// predictions count micro-batches until the gradient is there (k = stage, N = stages): SpecTrain
// and XPipe floor(k/2) + N - k - 1 in forwards and floor(k/2) in backwards, PipeOptim N - 1 - k in
// forwards; in updates of `step_every` micro-batches, rounded up.
DelayCorrectionOptions delay_options(const Schedule& schedule, int stage);

// A correction that is not of the version rules that it is defined for is an error.
Status check_correction(const Schedule& schedule);

}  // namespace collie
