// A low-rank adapter of the token embedding: out += scale * A[id] B^T, as PEFT's
// lora_embedding_A (here transposed, one row a token) and lora_embedding_B; it has no dropout.
// Legend: T tokens, V rows of the vocabulary held here, D hidden, R rank.
#pragma once

#include "models/decoder.hpp"

namespace collie {

class EmbeddingLora {
 public:
  // Without parameters of its own it is empty.
  explicit EmbeddingLora(const ShardModel& model);

  bool empty() const { return a_ < 0; }
  // This shard's part: tokens whose rows stand elsewhere get nothing.
  void add_forward(SegmentContext& context, Tensor& out_td) const;
  // Sets or adds the gradients.
  void backward_weight(SegmentContext& context, const Tensor& dout_td) const;

 private:
  Tensor look_up(SegmentContext& context, DType dtype) const;

  Parameters& parameters_;
  int a_, b_;
  std::int64_t row_begin_ = 0;
  float scale_ = 0.0F;
};

}  // namespace collie
