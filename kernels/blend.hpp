// Weighted sums of whole flat stores: what moves weights along a direction.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels {

// out = a * x + b * y for flat f32 of the same length; out may be x or y. In plain C++,
// whose products an x86-64 build rounds before the sum: predictions are compared to the last bit.
void blend(Stream& stream, float a, const Tensor& x, float b, const Tensor& y, Tensor& out);

}  // namespace collie::kernels
