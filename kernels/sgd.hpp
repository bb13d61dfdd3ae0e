// SGD as torch.optim.SGD has it, and LOMO's rule (Lv et al. 2023); one pass over a flat range.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels {

struct SgdStep {
  double learning_rate = 0.0;
  double momentum = 0.9;
  double weight_decay = 0.0;    // added to the gradient, times the parameter
  double gradient_scale = 1.0;  // clipping: multiplies the gradient as it is read
  double dampening = 0.0;       // torch's first step has none
  bool nesterov = false;
  double clip_value = 0.0;  // of each element of grad before it is scaled; 0: none
  double shrink = 1.0;      // multiplies the parameter first: decoupled weight decay
};

// g = gradient_scale * clip(grad) + weight_decay * param;
// velocity = momentum * velocity + (1 - dampening) * g;
// param = shrink * param - learning_rate * d, where d is velocity; with nesterov g + momentum *
// velocity; g where velocity is undefined (momentum is then not read). param and grad are flat f32
// of the same length, velocity f32 or bf16 (rounded to nearest); compute_copy (bf16, may be
// undefined) receives the rounded new parameters.
void sgd_step(Stream& stream, const SgdStep& step, Tensor& param, const Tensor& grad,
              Tensor& velocity, Tensor& compute_copy);

}  // namespace collie::kernels
