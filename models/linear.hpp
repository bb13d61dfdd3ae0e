// One linear layer of a segment: a weight or several joined ones (q, k, v; gate, up) as one
// product, its bias, and what adapters add. Frozen parts get no gradient. Legend: T tokens, K input
// features, N output features, local to the shard.
#pragma once

#include <memory>
#include <string_view>

#include "models/decoder.hpp"
#include "models/peft/linear_scales.hpp"
#include "models/peft/lora.hpp"

namespace collie {

class Linear {
 public:
  // Which features the tensor shards divide. With input the products of all shards add up, so the
  // bias enters through the first shard's alone.
  enum class Cut { output, input };

  // first: canonical name of the first weight; its bias is that name + "_bias", if there is one.
  Linear(const ShardModel& model, std::string_view first, int count, Cut cut);

  // DoRA: the squared norms of the tuned weights' rows, f32 [N]; else undefined. Cut by input, each
  // shard has its part of them: the sum over shards is what the calls below take as squares. Cut by
  // output they need none.
  Tensor row_squares(SegmentContext& context) const;

  Tensor forward(SegmentContext& context, const Tensor& x_tk,
                 const Tensor& squares_n = Tensor()) const;
  // The gradient of x. Sets or adds the gradient of factors on x.
  Tensor backward_input(SegmentContext& context, const Tensor& dy_tn, const Tensor& x_tk,
                        const Tensor& squares_n = Tensor()) const;
  // Whether the calls of the backward read x; where they do not it may be undefined there.
  bool reads_input() const;
  // Whether backward_input() makes gradients of parameters.
  bool trains_on_input() const { return scales_.on_input(); }
  // Sets or adds the other gradients of what is trained.
  void backward_weight(SegmentContext& context, const Tensor& dy_tn, const Tensor& x_tk,
                       const Tensor& squares_n = Tensor()) const;

 private:
  bool is_trained(int first) const;
  Tensor scaled_input(SegmentContext& context, const Tensor& x_tk) const;
  Tensor inverse_norms(SegmentContext& context, const Tensor& squares_n) const;
  Tensor scaled_gradient(SegmentContext& context, const Tensor& dy_tn,
                         const Tensor& inverse_n) const;
  bool splits_input(const SegmentContext& context) const;
  Tensor difference(SegmentContext& context, const Tensor& a, const Tensor& b) const;
  void add_undropped(SegmentContext& context, const Tensor& x_tk, const Tensor& seen_tk,
                     Tensor& y_tn) const;
  Tensor backward_split_input(SegmentContext& context, const Tensor& dy_tn,
                              const Tensor& scaled_tn) const;
  void backward_scales(SegmentContext& context, const Tensor& dy_tn, const Tensor& x_tk,
                       const Tensor& inverse_n) const;

  Parameters& parameters_;
  int weight_, bias_;
  int count_;
  bool adds_bias_;
  LoraAdapters lora_;
  LinearScales scales_;
};

}  // namespace collie
