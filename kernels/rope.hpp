// Rotary position embedding (Su et al. 2021) in the half-split form of Hugging Face's LLaMA, with
// the optional per-head q/k RMSNorm of Qwen3 before it, in place on packed qkv.
// Legend: T tokens, H query heads, G key/value heads, K head size; packed qkv is [T, (H + 2G) * K].
#pragma once

#include <vector>

#include "runtime/stream.hpp"

namespace collie::kernels {

struct HeadShape {
  std::int64_t heads = 0;     // query heads
  std::int64_t kv_heads = 0;  // key/value heads
  std::int64_t head_dim = 0;
  std::int64_t packed_width() const { return (heads + 2 * kv_heads) * head_dim; }
};

// cos and sin tables [P, K/2] in f32 for positions 0..P-1, from the inverse frequencies [K/2];
// both scaled by attention_factor.
struct RopeTable {
  Tensor cos_pk;
  Tensor sin_pk;
};
RopeTable make_rope_table(Allocator& allocator, const std::vector<double>& inverse_frequencies,
                          std::int64_t positions, double attention_factor = 1.0);

// Rotates q and k of every token by its position. positions_t is i32 [T], each < P.
void rope_forward(Stream& stream, Tensor& qkv, const HeadShape& heads, const RopeTable& table,
                  const Tensor& positions_t);
// The inverse rotation, on dqkv.
void rope_backward(Stream& stream, Tensor& dqkv, const HeadShape& heads, const RopeTable& table,
                   const Tensor& positions_t);

// q and k of every head normalised by RMSNorm with gains q_gain[K], k_gain[K] (dtype of qkv), in
// place; the values before the norm go to raw_qk[T, (H + G) * K], rstd to rstd[T, H + G] (f32).
void qk_norm_forward(Stream& stream, Tensor& qkv, const HeadShape& heads, const Tensor& q_gain_k,
                     const Tensor& k_gain_k, float epsilon, Tensor& raw_qk, Tensor& rstd);
// dqkv in place: gradients after the norm become gradients before it; gain gradients (f32) are set
// or added to.
void qk_norm_backward(Stream& stream, Tensor& dqkv, const HeadShape& heads, const Tensor& q_gain_k,
                      const Tensor& k_gain_k, const Tensor& raw_qk, const Tensor& rstd,
                      Tensor& dq_gain_k, Tensor& dk_gain_k, bool accumulate);

}  // namespace collie::kernels
