// Causal attention in blocks with a saved log-sum-exp (FlashAttention-2, Dao 2023): no S x S
// matrix. Legend: B rows of the micro-batch, S tokens a row, T = B * S, H query heads, G key/value
// heads (grouped queries: head h reads group h * G / H), K head size.
//
// dtypes: qkv, context and their gradients f32 or bf16, sums, softmax and lse in f32. On a
// processor with bf16 dot products, weights and their gradients are rounded to bf16 before they
// multiply (bf16 operands with an even K of 32 or more).
#pragma once

#include "kernels/rope.hpp"

namespace collie::kernels {

struct AttentionShape {
  std::int64_t batch = 0;
  std::int64_t sequence = 0;
  HeadShape heads;
  float scale = 0.0F;       // usually 1 / sqrt(K)
  std::int64_t window = 0;  // > 0: a token sees only the last `window` tokens, itself included
};

// positions_t (i32 [T]) restart at 0 with each document of a packed row; token s of a row sees
// tokens s - positions[s] .. s of the same row, so documents never see each other.
// context[T, H * K], lse[B, H, S] (f32).
void attention_forward(Stream& stream, const Tensor& qkv, const AttentionShape& shape,
                       const Tensor& positions_t, Tensor& context, Tensor& lse);

// dqkv[T, (H + 2G) * K] is written whole. Key/value gradients sum over the group in head order.
void attention_backward(Stream& stream, const Tensor& dcontext, const Tensor& qkv,
                        const Tensor& context, const Tensor& lse, const AttentionShape& shape,
                        const Tensor& positions_t, Tensor& dqkv);

// A slice: tokens [begin, begin + S) of longer rows, W tokens each, whose slices go forward from
// the first to the last and back from the last to the first (Seq1F1B, Sun et al. 2024, section 3).
// They share kv[B * W, 2 * G * K] (dtype of qkv; keys then values of a token), where a slice's
// forward writes its own tokens' and reads those of all tokens up to them, and dkv (f32, the same
// shape): the last slice's backward sets it, each other adds to the keys and values that its
// queries saw. So a slice's own part of dkv is complete in its own backward, which hands it on in
// dqkv. Key and value gradients are then sums of sums over slices: equal to attention_backward's of
// whole rows within float32 rounding, and to themselves to the last bit.
void attention_slice_forward(Stream& stream, const Tensor& qkv, const AttentionShape& shape,
                             std::int64_t begin, const Tensor& positions_t, Tensor& kv,
                             Tensor& context, Tensor& lse);
void attention_slice_backward(Stream& stream, const Tensor& dcontext, const Tensor& qkv,
                              const Tensor& context, const Tensor& lse, const AttentionShape& shape,
                              std::int64_t begin, const Tensor& positions_t, const Tensor& kv,
                              Tensor& dkv, Tensor& dqkv);

// One row's key/value cache of one layer: [capacity, 2 * G * K], keys then values of a token.
// Appends the keys and values of the n new tokens in qkv[n, (H + 2G) * K] (already rotated) at
// cache row `length`, then attends: context[n, H * K].
void attention_with_cache(Stream& stream, const Tensor& qkv, const AttentionShape& shape,
                          Tensor& cache, std::int64_t length, Tensor& context);

}  // namespace collie::kernels
