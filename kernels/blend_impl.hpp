// The CPU side of blend.hpp. Operands are checked.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels::cpu {

void blend(Stream& stream, float a, const Tensor& x, float b, const Tensor& y, Tensor& out);

}  // namespace collie::kernels::cpu
