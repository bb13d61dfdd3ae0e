// The CPU side of sgd.hpp. Operands are checked.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels::cpu {

struct SgdFactors {
  float rate, momentum, take, decay, gradient, clip;
  float shrunk_by;  // 1 - shrink
  bool nesterov, clips;
};

void sgd_step(Stream& stream, const SgdFactors& factors, Tensor& param, const Tensor& grad,
              Tensor& velocity, Tensor& compute_copy);

}  // namespace collie::kernels::cpu
