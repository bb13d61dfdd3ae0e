// Products of a linear layer, forward and the two halves of its backward.
// Legend: T tokens, N output features, K input features. Row-major, contiguous.
//
// dtypes: x, w, y, dx, dy all f32 or all bf16 (float32 accumulation); dw and db are always f32.
// The work is cut into tiles that depend on the shape alone, so results do not depend on the number
// of threads.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels {

// y[T,N] = x[T,K] w[N,K]^T + bias[N]; bias (same dtype as w) may be undefined.
void linear_forward(Stream& stream, const Tensor& x_tk, const Tensor& w_nk, const Tensor& bias_n,
                    Tensor& y_tn);

// dx[T,K] = dy[T,N] w[N,K]; with accumulate, added to what dx holds.
void linear_backward_input(Stream& stream, const Tensor& dy_tn, const Tensor& w_nk, Tensor& dx_tk,
                           bool accumulate = false);

// dw[N,K] (f32) = or += dy[T,N]^T x[T,K]; db[N] (f32, may be undefined) = or += column sums of dy.
void linear_backward_weight(Stream& stream, const Tensor& dy_tn, const Tensor& x_tk, Tensor& dw_nk,
                            Tensor& db_n, bool accumulate);

// db[N] (f32) = or += column sums of dy, where the weight is frozen.
void linear_backward_bias(Stream& stream, const Tensor& dy_tn, Tensor& db_n, bool accumulate);

}  // namespace collie::kernels
