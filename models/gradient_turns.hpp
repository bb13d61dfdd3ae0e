// Which gradients of a stage may share one room because they are made, used and dropped one segment
// after the other: see StageModel::backward_in_turn.
#pragma once

#include <string>
#include <vector>

#include "models/optimizer.hpp"
#include "models/stage.hpp"

namespace collie {

// Sets ParameterSpec::turn to the index of the segment whose backward_weight() makes the whole
// gradient of a parameter. head_too: the head's as well, made in forward when no other turn has
// begun, unless the embedding is tied to it. A tied embedding takes turns where the head is on the
// same stage; elsewhere nothing of its segment does, for its gradient is summed over two stages
// before it could be made again. The model must not be tuned.
void take_turns(const ModelTraits& traits, const StageSlice& slice, bool head_too,
                std::vector<ParameterSpec>& specs);

bool has_turn(const Parameters& parameters, int turn);

// Adds the head's gradient of a tied embedding to the embedding's where both are here.
void add_tied_gradient(Stream& stream, Parameters& parameters);

// Updates all parameters but those that take turns.
Steps step_standing(Stream& stream, OptimizerStep step, Optimizer& optimizer,
                    Parameters& parameters);

}  // namespace collie
