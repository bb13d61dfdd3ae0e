// The CPU side of cross_entropy.hpp. Operands are checked.
#pragma once

#include <span>

#include "runtime/stream.hpp"

namespace collie::kernels::cpu {

// The columns of a row of statistics.
struct SoftmaxStats {
  float max;
  float sum;    // of exp(logit - max)
  float label;  // the label's logit, 0 where another shard holds it
};
static_assert(sizeof(SoftmaxStats) == 3 * sizeof(float));

void cross_entropy_stats(Stream& stream, const Tensor& logits_cv, const Tensor& labels_c,
                         std::int64_t vocabulary_begin, Tensor& stats_c3);
void cross_entropy_combine(Stream& stream, std::span<const Tensor> parts_c3, Tensor& stats_c3);
void cross_entropy_backward(Stream& stream, Tensor& logits_cv, const Tensor& labels_c,
                            std::int64_t vocabulary_begin, const Tensor& stats_c3, float scale);
void cross_entropy_losses(Stream& stream, const Tensor& labels_c, const Tensor& stats_c3,
                          Tensor& losses_c);

}  // namespace collie::kernels::cpu
