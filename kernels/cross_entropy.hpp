// Softmax cross entropy over a vocabulary that may be split over tensor shards, chunk by chunk, so
// that the logits of a whole batch never exist.
// Legend: C tokens of the chunk, V rows of the vocabulary this shard holds, P shards.
// logits f32 or bf16; labels i32, negative = ignored; statistics f32.
#pragma once

#include <span>

#include "runtime/stream.hpp"

namespace collie::kernels {

// stats[C,3] of the local part: max, sum of exp(logit - max), the label's logit (0 if held
// elsewhere).
void cross_entropy_stats(Stream& stream, const Tensor& logits_cv, const Tensor& labels_c,
                         std::int64_t vocabulary_begin, Tensor& stats_c3);

// Statistics of all shards in rank order become those of the whole vocabulary.
void cross_entropy_combine(Stream& stream, std::span<const Tensor> parts_c3, Tensor& stats_c3);

// logits become their gradient in place: (softmax - onehot) * scale, zero for ignored tokens.
// losses_c[C] (f32): each token's loss, unscaled, zero for ignored ones.
void cross_entropy_backward(Stream& stream, Tensor& logits_cv, const Tensor& labels_c,
                            std::int64_t vocabulary_begin, const Tensor& stats_c3, float scale,
                            Tensor& losses_c);

// Losses only, from the statistics: for evaluation.
void cross_entropy_losses(Stream& stream, const Tensor& labels_c, const Tensor& stats_c3,
                          Tensor& losses_c);

}  // namespace collie::kernels
