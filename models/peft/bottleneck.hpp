// Houlsby's adapter after one half of a layer, inside the residual: z + W_up gelu(W_down z + b) +
// c. Houlsby et al., "Parameter-efficient transfer learning for NLP" (2019), section 2.1; the exact
// GELU as in the authors' code. All tensor shards hold the whole and compute the same.
// Legend: T tokens, D hidden, M width of the bottleneck.
#pragma once

#include <string>

#include "models/decoder.hpp"

namespace collie {

class Bottleneck {
 public:
  // half: the canonical names' beginning, e.g. "layers.3.mlp.". Without parameters of that name it
  // does nothing.
  Bottleneck(const ShardModel& model, const std::string& half);

  // In training z is kept in saved's slot for the backward.
  Tensor forward(SegmentContext& context, const Tensor& z_td, Saved& saved, std::size_t slot) const;
  // The gradient of z; sets or adds the parameters' gradients.
  Tensor backward(SegmentContext& context, const Tensor& dy_td, const Tensor& z_td) const;

 private:
  Tensor narrow(SegmentContext& context, const Tensor& z_td) const;

  Parameters& parameters_;
  int down_, down_bias_, up_, up_bias_;
};

}  // namespace collie
