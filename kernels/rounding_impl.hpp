// The CPU side of rounding.hpp. Operands are checked.
#pragma once

#include "kernels/rounding.hpp"

namespace collie::kernels::cpu {

void round_stochastic(Stream& stream, const RoundingNumbers& numbers, const Tensor& from,
                      Tensor& to);

}  // namespace collie::kernels::cpu
