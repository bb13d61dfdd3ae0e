// RMSNorm (Zhang & Sennrich 2019) and LayerNorm (Ba et al. 2016), fused with the residual add.
// Legend: T tokens, D hidden, H heads, K head size.
//
// dtypes: x, delta, h, y, dy, dx f32 or bf16; gain and bias in the same dtype as x; statistics and
// parameter gradients f32. delta, h and bias may be undefined.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels {

// h = x + delta (rounded to the dtype of h; h undefined when delta is), y = norm(h) * gain (+
// bias). LayerNorm when mean_t is defined, RMSNorm otherwise. stats: rstd_t[T], mean_t[T] in f32.
void norm_forward(Stream& stream, const Tensor& x_td, const Tensor& delta_td, const Tensor& gain_d,
                  const Tensor& bias_d, float epsilon, Tensor& h_td, Tensor& y_td, Tensor& rstd_t,
                  Tensor& mean_t);

// dx = dresidual + d norm / d h . dy; dresidual (same dtype, may be undefined) is the gradient that
// flows past the norm along the residual. dx may share dresidual's buffer.
// dgain and dbias (f32) are set or added to, over tokens in a fixed order.
void norm_backward(Stream& stream, const Tensor& dy_td, const Tensor& h_td, const Tensor& gain_d,
                   const Tensor& rstd_t, const Tensor& mean_t, const Tensor& dresidual_td,
                   Tensor& dx_td, Tensor& dgain_d, Tensor& dbias_d, bool accumulate);

}  // namespace collie::kernels
