// The CPU side of sophia.hpp. Operands are checked.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels::cpu {

struct SophiaFactors {
  float gradient, keep, take, rho, rate;
  float decay;  // param -= decay * param
};

void sophia_step(Stream& stream, const SophiaFactors& factors, Tensor& param, const Tensor& grad,
                 Tensor& m, Tensor& hessian, Tensor& compute_copy);
void sophia_hessian(Stream& stream, float keep, float take, const Tensor& grad, Tensor& hessian);

}  // namespace collie::kernels::cpu
