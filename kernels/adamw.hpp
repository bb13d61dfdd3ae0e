// AdamW (Loshchilov & Hutter 2019), one fused pass over a flat range of parameters.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels {

// In double: 1 - beta2 of a float32 beta2 is off by 1e-5.
struct AdamWStep {
  double learning_rate = 0.0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.0;
  double gradient_scale = 1.0;  // clipping: multiplies the gradient as it is read
  std::int64_t step = 1;        // 1 for the first update: bias corrections are 1 - beta^step
};

// param, grad, m, v are flat f32 of the same length and updated in place (grad is only read);
// compute_copy (bf16, may be undefined) receives the rounded new parameters.
void adamw_step(Stream& stream, const AdamWStep& step, Tensor& param, const Tensor& grad, Tensor& m,
                Tensor& v, Tensor& compute_copy);

}  // namespace collie::kernels
