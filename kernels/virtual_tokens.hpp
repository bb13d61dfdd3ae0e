// What virtual tokens need: the first N positions of every document stand for trained vectors.
// Legend: T tokens, M columns of an activation, C of them from `column` on, N virtual tokens.
// positions: i32 [T]. dtypes f32 or bf16.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels {

// x[t, column + c] = prefix[c, positions[t]] for tokens with positions[t] < N; prefix: [C, N].
void place_prefix(Stream& stream, const Tensor& prefix_cn, const Tensor& positions_t,
                  std::int64_t column, Tensor& x_tm);

// dprefix[c, n] (f32) = or += sum over tokens t at position n of dx[t, column + c], in their order;
// those dx become zero.
void take_prefix_gradient(Stream& stream, const Tensor& positions_t, std::int64_t column,
                          Tensor& dx_tm, Tensor& dprefix_cn, bool accumulate);

// max(x, 0) in place, and the gradient of x in dy's place; y: what came out.
void relu(Stream& stream, Tensor& x);
void relu_backward(Stream& stream, const Tensor& y, Tensor& dy);

}  // namespace collie::kernels
