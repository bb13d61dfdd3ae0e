// Dropout of whole tokens' activations in training: of the embeddings and of what each half of a
// layer adds to the residual stream. Srivastava et al., "Dropout: a simple way to prevent neural
// networks from overfitting" (2014); the places are GPT-2's embd_pdrop and resid_pdrop. A mask is a
// function of (seed, place, number of the row in the run, token, column), so every grid, every
// recomputation and the backward have the same one. Legend: T tokens, D hidden.
#pragma once

#include <string_view>

#include "kernels/dropout.hpp"
#include "models/decoder.hpp"

namespace collie {

// Where this batch's tokens stand in the run; the rest of the place is left open.
kernels::DropoutPlace place_of_tokens(const MicroBatch& batch);

class ResidualDropout {
 public:
  // place: tells its masks from others, e.g. "layers.3.mlp.dropout".
  ResidualDropout(const ShardModel& model, std::string_view place);

  // The activation with its mask, or its gradient with the same: dropout is its own backward. x
  // itself where nothing is dropped, which is outside training and where the probability is 0.
  Tensor apply(SegmentContext& context, const Tensor& x_td) const;

 private:
  double probability_;
  std::uint64_t seed_;
  std::uint64_t mask_id_;
};

}  // namespace collie
