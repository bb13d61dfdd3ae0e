// Lion (Chen et al. 2023, Algorithm 2), one pass over a flat range of parameters.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels {

struct LionStep {
  double learning_rate = 0.0;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double weight_decay = 0.0;
  double gradient_scale = 1.0;  // clipping: multiplies the gradient as it is read
};

// g = gradient_scale * grad; u = beta1 * m + (1 - beta1) * g;
// param = param * (1 - learning_rate * weight_decay) - learning_rate * sign(u);
// m = beta2 * m + (1 - beta2) * g. param and grad are flat f32 of the same length, m f32 or bf16
// (rounded to nearest); compute_copy (bf16, may be undefined) receives the rounded new parameters.
void lion_step(Stream& stream, const LionStep& step, Tensor& param, const Tensor& grad, Tensor& m,
               Tensor& compute_copy);

}  // namespace collie::kernels
