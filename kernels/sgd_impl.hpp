// The CPU side of sgd.hpp. Operands are checked.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels::cpu {

struct SgdFactors {
  float rate, momentum, decay, gradient;
};

void sgd_step(Stream& stream, const SgdFactors& factors, Tensor& param, const Tensor& grad,
              Tensor& velocity, Tensor& compute_copy);

}  // namespace collie::kernels::cpu
