// Adan (Xie et al. 2022, Algorithm 1), one pass over a flat range of parameters.
#pragma once

#include <span>

#include "runtime/stream.hpp"

namespace collie::kernels {

// The betas are what is kept of a moment, as in the authors' code; the paper's are 1 minus these.
struct AdanStep {
  double learning_rate = 0.0;
  double beta1 = 0.98;
  double beta2 = 0.92;
  double beta3 = 0.99;
  double epsilon = 1e-8;
  double weight_decay = 0.0;
  bool is_proximal = true;
  double gradient_scale = 1.0;  // clipping: multiplies the gradient as it is read
  std::int64_t step = 1;        // 1 for the first update, which has no gradient before it
};

// g = gradient_scale * grad; d = g - previous (0 in the first step);
// m = beta1 * m + (1 - beta1) * g; v = beta2 * v + (1 - beta2) * d;
// n = beta3 * n + (1 - beta3) * (g + beta2 * d)^2; previous = g;
// move = learning_rate * (m / (1 - beta1^step) + beta2 * v / (1 - beta2^step)) /
//        (sqrt(n / (1 - beta3^step)) + epsilon);
// proximal: param = (param - move) / (1 + learning_rate * weight_decay), otherwise
// param = param * (1 - learning_rate * weight_decay) - move. states: m, v, n and previous, all f32
// or all bf16 (rounded to nearest). param and grad are flat f32 of the same length; compute_copy
// (bf16, may be undefined) receives the rounded new parameters.
void adan_step(Stream& stream, const AdanStep& step, Tensor& param, const Tensor& grad,
               std::span<Tensor> states, Tensor& compute_copy);

}  // namespace collie::kernels
