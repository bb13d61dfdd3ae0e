// Copies, casts and sums. dtypes f32 or bf16 unless said otherwise; same shape for all operands.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/stream.hpp"

namespace collie::kernels {

void fill_zero(Stream& stream, Tensor& x);
void cast(Stream& stream, const Tensor& from, Tensor& to);  // f32 <-> bf16, or a copy
void scale(Stream& stream, Tensor& x, float factor);
// out = a + b; out may be a or b.
void add(Stream& stream, const Tensor& a, const Tensor& b, Tensor& out);
// x[T,D] += bias[D].
void add_bias(Stream& stream, Tensor& x_td, const Tensor& bias_d);
// out = parts[0] + parts[1] + ... in that order, float32 arithmetic, rounded once at the end.
// out may be one of the parts.
void sum_in_order(Stream& stream, std::span<const Tensor> parts, Tensor& out);
// Sum of squares of an f32 tensor, accumulated in double over fixed tiles in order.
double sum_of_squares(Stream& stream, const Tensor& x);
// x ~ normal(0, stddev): element i depends on (seed, stream_id, first_index + i) alone, so any
// slicing of a parameter gives the same values. Philox-4x32-10 (Salmon et al. 2011), Box-Muller.
void fill_normal(Stream& stream, Tensor& x, float stddev, std::uint64_t seed,
                 std::uint64_t stream_id, std::int64_t first_index);

}  // namespace collie::kernels
