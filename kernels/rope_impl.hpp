// The CPU side of rope.hpp. Operands are checked.
#pragma once

#include "kernels/rope.hpp"

namespace collie::kernels::cpu {

// direction 1 rotates, -1 rotates back.
void rotate(Stream& stream, Tensor& qkv, const HeadShape& heads, const RopeTable& table,
            const Tensor& positions_t, float direction);

inline constexpr std::int64_t qk_norm_tile = 32;  // tokens of one task, and of a partial gradient

struct QkNormForward {
  Tensor& qkv;
  HeadShape heads;
  const Tensor& q_gain;
  const Tensor& k_gain;
  float epsilon;
  Tensor& raw_qk;
  Tensor& rstd;
};
struct QkNormBackward {
  Tensor& dqkv;
  HeadShape heads;
  const Tensor& q_gain;
  const Tensor& k_gain;
  const Tensor& raw_qk;
  const Tensor& rstd;
  Tensor& dq_gain;
  Tensor& dk_gain;
  bool accumulate;
};
void qk_norm_forward(Stream& stream, const QkNormForward& op);
void qk_norm_backward(Stream& stream, const QkNormBackward& op);

}  // namespace collie::kernels::cpu
