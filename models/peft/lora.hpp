// Low-rank adapters of one linear layer of a segment, which may consist of several joined weights
// (q, k, v; gate, up): y += scale * (dropout(x) A^T) B^T for each weight that has one.
// Hu et al., "LoRA: Low-rank adaptation of large language models" (2021), section 4.1.
// Legend: T tokens, K input features, M output features of the whole layer, N of one weight, U the
// ranks of all its adapters side by side.
#pragma once

#include <string>
#include <vector>

#include "kernels/dropout.hpp"
#include "models/decoder.hpp"

namespace collie {

class LoraAdapters {
 public:
  // weights: the layer's, consecutive in parameters.
  LoraAdapters(const ShardModel& model, int first_weight, int count);

  bool empty() const { return parts_.empty(); }
  // One weight's part of it, into a tensor of that weight's columns alone. column: where they begin
  // in the layer's output.
  void add_part(SegmentContext& context, const Tensor& x_tk, std::int64_t column,
                Tensor& y_tn) const;
  // Sets the squared norms of the rows of W + scale * B A where there is a B; f32 [M].
  void row_squares(SegmentContext& context, Tensor& squares_m) const;
  // Forward and backward find everything they need in x and dy, so nothing is kept beside them.
  void add_forward(SegmentContext& context, const Tensor& x_tk, Tensor& y_tm) const;
  void add_backward_input(SegmentContext& context, const Tensor& dy_tm, Tensor& dx_tk) const;
  void backward_weight(SegmentContext& context, const Tensor& dy_tm, const Tensor& x_tk) const;

  // The same on some rows of what dropped() made of the whole x; x itself where nothing is dropped.
  bool drops(const SegmentContext& context) const;
  Tensor dropped(SegmentContext& context, const Tensor& x_tk) const;
  void add_forward_seen(SegmentContext& context, const Tensor& seen_tk, Tensor& y_tm) const;
  // Sets or adds the gradient of what was seen; its mask is that of x.
  void backward_seen(SegmentContext& context, const Tensor& dy_tm, Tensor& dseen_tk,
                     bool accumulate) const;
  void backward_weight_seen(SegmentContext& context, const Tensor& dy_tm, const Tensor& seen_tk,
                            bool accumulate) const;
  // dx += mask * dseen / (1 - dropout), of all rows.
  void add_through_mask(SegmentContext& context, const Tensor& dseen_tk, Tensor& dx_tk) const;

 private:
  struct Part {
    int weight = -1, b = -1;
    std::int64_t column = 0;      // of the layer's output
    std::int64_t rank_begin = 0;  // of the joined A's rows
    std::int64_t rank = 0;
    float scale = 0.0F;
  };
  Tensor narrow(SegmentContext& context, const Tensor& seen_tk) const;
  Tensor narrow_gradient(SegmentContext& context, const Tensor& dy_tm) const;
  kernels::DropoutPlace place(const SegmentContext& context) const;

  ShardModel model_;
  std::vector<Part> parts_;
  int first_a_ = -1;
  int a_count_ = 0;
  std::int64_t ranks_ = 0;  // of all A's together
  std::uint64_t mask_id_ = 0;
};

}  // namespace collie
