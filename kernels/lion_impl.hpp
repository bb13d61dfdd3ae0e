// The CPU side of lion.hpp. Operands are checked.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels::cpu {

struct LionFactors {
  float gradient, keep1, take1, keep2, take2, rate;
  float decay;  // param -= decay * param
};

void lion_step(Stream& stream, const LionFactors& factors, Tensor& param, const Tensor& grad,
               Tensor& m, Tensor& compute_copy);

}  // namespace collie::kernels::cpu
