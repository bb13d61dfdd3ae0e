// Which schedule a configuration asks for: a generator's or a file's.
#pragma once

#include "actors/run_setup.hpp"

namespace collie {

// Fills in schedule, grid and micro_batches; the traits and grid.* are known. Proves the schedule
// before anything is made from it. Errors: an unknown name or file, a size that is not the
// configuration's, an unsafe schedule, and what cannot be trained with it; the key and the remedy
// are named.
Status choose_schedule(const RunConfig& config, ModelSetup& setup);

}  // namespace collie
