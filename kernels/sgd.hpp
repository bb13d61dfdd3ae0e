// SGD with momentum as torch.optim.SGD has it (dampening 0), one pass over a flat range.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels {

struct SgdStep {
  double learning_rate = 0.0;
  double momentum = 0.9;
  double weight_decay = 0.0;    // added to the gradient, times the parameter
  double gradient_scale = 1.0;  // clipping: multiplies the gradient as it is read
};

// g = gradient_scale * grad + weight_decay * param; velocity = momentum * velocity + g;
// param -= learning_rate * velocity. param, grad and velocity are flat f32 of the same length;
// compute_copy (bf16, may be undefined) receives the rounded new parameters.
void sgd_step(Stream& stream, const SgdStep& step, Tensor& param, const Tensor& grad,
              Tensor& velocity, Tensor& compute_copy);

}  // namespace collie::kernels
