// The CPU side of elementwise.hpp. Operands are checked.
#pragma once

#include <span>

#include "runtime/stream.hpp"

namespace collie::kernels::cpu {

// A tensor's elements without its checks, for inner loops.
struct Operand {
  const std::byte* data;
  DType dtype;
};

void cast(Stream& stream, const Tensor& from, Tensor& to);
void scale(Stream& stream, Tensor& x, float factor);
void add_bias(Stream& stream, Tensor& x_td, const Tensor& bias_d);
void sum_in_order(Stream& stream, std::span<const Tensor> parts, Tensor& out);
double sum_of_squares(Stream& stream, const Tensor& x);
void fill_normal(Stream& stream, Tensor& x, float stddev, std::uint64_t seed,
                 std::uint64_t stream_id, std::int64_t first_index);

}  // namespace collie::kernels::cpu
