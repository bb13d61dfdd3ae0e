// Values of replicas that share what they hold. ZeRO-1 and 2: each updates its share and takes the
// others'. ZeRO-3: values are divided over the replicas and return for as long as a segment works
// with them.
#pragma once

#include <vector>

#include "models/optimizer.hpp"
#include "models/parameters.hpp"
#include "models/segment.hpp"

namespace collie {

// The consecutive ranges of the flat stores in which parameters lie, by segment of a stage: the
// embedding (if the stage begins with it), two halves for each layer, the head. A tied head counts
// the embedding's as its own.
std::vector<std::vector<StoreRange>> ranges_of_segments(const Parameters& parameters,
                                                        std::int64_t layer_begin,
                                                        std::size_t segments, bool has_embedding);

// Fills the window with what kernels read of these ranges, each parameter as its owner holds it:
// the owner's own memory, which nobody writes before the step's update, or a copy of it. Whoever
// runs this knows what comes next and may have the parts before the segment begins: the ranges are
// units first_unit, first_unit + 1, ... of the stage.
Steps gather_values(Parameters& parameters, std::vector<StoreRange> ranges, int first_unit,
                    ParameterWindow& window);

// The step of an optimizer that was made for the own share; at its end all replicas have the values
// (and bf16 copies) of all shares, unless values are divided too.
Steps update_and_share(Stream& stream, OptimizerStep step, Optimizer& optimizer,
                       Parameters& parameters);

}  // namespace collie
