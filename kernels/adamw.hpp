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

// param, grad, m, v are flat f32 of the same length and updated in place (grad is only read); m and
// v may both be bf16: they are then rounded to nearest, ties to even, after each step. compute_copy
// (bf16, may be undefined) receives the rounded new parameters.
void adamw_step(Stream& stream, const AdamWStep& step, Tensor& param, const Tensor& grad, Tensor& m,
                Tensor& v, Tensor& compute_copy);

// Where the update after `step` updates is heading, per unit of learning rate and against its sign:
// out = (m / (1 - beta1^step)) / (sqrt(v) / sqrt(1 - beta2^step) + epsilon) + weight_decay * param,
// in plain C++ (see blend.hpp); the divisions by the corrections are products with their inverses.
// Flat f32, m and v f32 or bf16; reads beta1, beta2, epsilon, weight_decay and step alone.
void adamw_direction(Stream& stream, const AdamWStep& step, const Tensor& param, const Tensor& m,
                     const Tensor& v, Tensor& out);

}  // namespace collie::kernels
