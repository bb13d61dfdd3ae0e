// What the segments of one shard share: its part of the decoder in local sizes, its parameters and
// the rotary table.
// Legend: T tokens, D hidden, H local query heads, G local key/value heads, K head size, F local
// MLP width, V local rows of the vocabulary.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "kernels/attention.hpp"
#include "models/parameters.hpp"
#include "models/segment.hpp"
#include "models/stage.hpp"
#include "models/traits.hpp"

namespace collie {

// The rotary table grows to the longest sequence met, so a model that allows 131,072 positions and
// is trained on 1,024 keeps 1,024 rows.
class RotaryTable {
 public:
  RotaryTable(const ModelTraits& traits, Stream& stream) : traits_(traits), stream_(stream) {}
  const kernels::RopeTable& at_least(std::int64_t positions);

 private:
  const ModelTraits& traits_;
  Stream& stream_;
  std::int64_t positions_ = 0;
  kernels::RopeTable table_;
};

struct ShardModel {
  const ModelTraits& traits;
  const StageSlice& slice;
  const StageOptions& options;
  Parameters& parameters;
  RotaryTable& rotary;
};

// One norm of the decoder with its parameters: RMSNorm or LayerNorm as the traits say.
class Norm {
 public:
  // name: canonical, e.g. "layers.3.mlp.norm"; the bias is name + "_bias".
  Norm(const ShardModel& model, std::string_view name);

  struct Output {
    Tensor h_td, y_td;  // the stream before the norm, materialised, and the normalised one
    Tensor rstd_t, mean_t;
  };
  Output forward(SegmentContext& context, const Hidden& hidden) const;
  // Returns dresidual + the gradient through the norm; sets or adds the gain's gradient.
  Tensor backward(SegmentContext& context, const Tensor& dy_td, const Output& saved,
                  const Tensor& dresidual_td) const;
  bool is_trained() const {
    return parameters_.is_trainable(gain_) || (bias_ >= 0 && parameters_.is_trainable(bias_));
  }

 private:
  Parameters& parameters_;
  float epsilon_;
  bool is_layer_norm_;
  int gain_, bias_;
};

// Index of a declared parameter: a missing one is a programmer's error.
int require_parameter(const Parameters& parameters, std::string_view name);

// For kernels that make a gain's gradient on the way: a frozen one's is thrown away.
Tensor gradient_or_scratch(SegmentContext& context, const Parameters& parameters, int index);

std::unique_ptr<Segment> make_embedding_segment(const ShardModel& model);
// layer: in the whole model; cache_index: in the stage's caches.
std::unique_ptr<Segment> make_attention_half(const ShardModel& model, std::int64_t layer,
                                             std::int64_t cache_index);
std::unique_ptr<Segment> make_mlp_half(const ShardModel& model, std::int64_t layer);
std::unique_ptr<Segment> make_head_segment(const ShardModel& model);

}  // namespace collie
