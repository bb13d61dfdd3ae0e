// What a schedule's correction means for one of its stages, in the stage's own updates. Pure.
#pragma once

#include "actors/schedule/schedule.hpp"
#include "models/delay_correction.hpp"

namespace collie {

// The delays of PipeMare's are those that the contract promises of the stage; for how far ahead
// weights are predicted see horizons.hpp.
DelayCorrectionOptions delay_options(const Schedule& schedule, int stage);

// A correction that is not of the version rules that it is defined for is an error.
Status check_correction(const Schedule& schedule);

}  // namespace collie
