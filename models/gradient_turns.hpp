// Which gradients of a stage may share one room because they are made, used and dropped one segment
// after the other: see StageModel::backward_in_turn.
#pragma once

#include <string>
#include <vector>

#include "models/optimizer.hpp"
#include "models/stage.hpp"

namespace collie {

// Sets ParameterSpec::turn to the index of the segment whose backward_weight() makes the whole
// gradient of a parameter. The head's is made in forward, when no other turn has begun, and again
// in a second pass. Where the embedding is tied to the head, neither takes turns, nor do learned
// positions: with the head on the same stage the one gradient is made in forward and stands; else
// it is summed over two stages before it could be made again. The model must not be tuned.
void take_turns(const ModelTraits& traits, const StageSlice& slice,
                std::vector<ParameterSpec>& specs);

// With the head's gradient in the room of a tied embedding: adds the embedding's, summed over the
// micro-batches by itself first, as it is where it has room of its own. What it takes are the rows
// that the micro-batches look up, not a table. To be called when their gradients have come back to
// the embedding's segment, the first, and backward_weight() has not been called.
void add_looked_up(Stream& stream, Parameters& parameters,
                   const std::vector<MicroBatchState*>& micro_batches);

bool has_turn(const Parameters& parameters, int turn);

// Adds the head's gradient of a tied embedding to the embedding's where both are here.
void add_tied_gradient(Stream& stream, Parameters& parameters);

// Updates all parameters but those that take turns.
Steps step_standing(Stream& stream, OptimizerStep step, Optimizer& optimizer,
                    Parameters& parameters);

}  // namespace collie
