// Labels drawn from a model: categorical samples of softmax(logits), by the Gumbel-max trick. The
// greatest logit + Gumbel noise is at an index distributed like the softmax (Gumbel 1954; Maddison,
// Tarlow and Minka 2014). The noise is a function of the token's place in the run and of the index
// in the vocabulary, so any cut of the data or of the vocabulary draws the same.
// Legend: C tokens of the chunk, V rows of the vocabulary this shard holds, P shards.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/stream.hpp"

namespace collie::kernels {

// Token c of the chunk is token t = token_begin + c of a batch whose rows have `row_tokens` tokens,
// which begin at token `row_begin` of rows of `row_stride` tokens: in the run its number is
// (first_row + t / row_tokens) * row_stride + row_begin + t % row_tokens.
struct LabelSamplePlace {
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  std::int64_t token_begin = 0;
  std::int64_t first_row = 0;
  std::int64_t row_tokens = 1;
  std::int64_t row_begin = 0;
  std::int64_t row_stride = 1;
};

// best_c2[C,2] (f32) of the local part: the greatest logit + noise and its index in the vocabulary
// (below 2^24, so exact), the lowest of several. logits f32 or bf16; labels i32: where they are
// negative (ignored) nothing is drawn, and the columns are 0. Noise: -log(-log1p(-u)) in f32, u of
// 31 bits of Philox-4x32-10, at most 1 - 2^-24.
void sample_labels(Stream& stream, const Tensor& logits_cv, const Tensor& labels_c,
                   std::int64_t vocabulary_begin, const LabelSamplePlace& place, Tensor& best_c2);

// The best of all shards in rank order; of equal ones the first. drawn_c[C] i32: ignored labels
// stay as they are.
void choose_sampled_labels(Stream& stream, std::span<const Tensor> best_c2, const Tensor& labels_c,
                           Tensor& drawn_c);

}  // namespace collie::kernels
