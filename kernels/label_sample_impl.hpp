// The CPU side of label_sample.hpp. Operands are checked.
#pragma once

#include "kernels/elementwise_philox.hpp"
#include "kernels/label_sample.hpp"

namespace collie::kernels::cpu {

// A column of best_c2.
struct SampledLabel {
  float score;
  float index;
};
static_assert(sizeof(SampledLabel) == 2 * sizeof(float));

// What the draws of one token depend on beside the index in the vocabulary.
struct LabelNoise {
  PhiloxKey key;
  std::uint64_t token;
  std::uint32_t step;
};

void sample_labels(Stream& stream, const Tensor& logits_cv, const Tensor& labels_c,
                   std::int64_t vocabulary_begin, const LabelSamplePlace& place, Tensor& best_c2);
void choose_sampled_labels(Stream& stream, std::span<const Tensor> best_c2, const Tensor& labels_c,
                           Tensor& drawn_c);

}  // namespace collie::kernels::cpu
