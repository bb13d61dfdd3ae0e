// Sophia-G (Liu et al. 2023), one pass over a flat range of parameters.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels {

struct SophiaStep {
  double learning_rate = 0.0;
  double beta1 = 0.965;
  double rho = 0.04;
  double weight_decay = 0.1;
  double gradient_scale = 1.0;  // clipping: multiplies the gradient as it is read
};

// g = gradient_scale * grad; m = beta1 * m + (1 - beta1) * g;
// param = param * (1 - learning_rate * weight_decay)
//         - learning_rate * sign(m) * min(1, |m| / (rho * hessian + 1e-15)).
// param and grad are flat f32 of the same length, m and hessian f32 or bf16 (rounded to nearest);
// hessian is read alone; compute_copy (bf16, may be undefined) receives the rounded new parameters.
void sophia_step(Stream& stream, const SophiaStep& step, Tensor& param, const Tensor& grad,
                 Tensor& m, Tensor& hessian, Tensor& compute_copy);

// hessian = beta2 * hessian + (1 - beta2) * count * grad^2: grad is of the mean loss over `count`
// labels drawn from the model (Gauss-Newton-Bartlett, Algorithm 2).
void sophia_hessian(Stream& stream, double beta2, double count, const Tensor& grad,
                    Tensor& hessian);

}  // namespace collie::kernels
