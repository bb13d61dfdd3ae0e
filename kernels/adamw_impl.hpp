// The CPU side of adamw.hpp. Operands are checked.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels::cpu {

// The constants of one step, in the order in which an element meets them.
struct AdamWFactors {
  float gradient;  // grad *= gradient
  float decay;     // param *= decay
  float keep_m;    // m = keep_m * m + take_m * grad
  float take_m;
  float keep_v;  // v = keep_v * v + take_v * grad^2
  float take_v;
  float inverse_root;  // denominator = sqrt(v) * inverse_root + epsilon
  float epsilon;
  float rate;  // param -= rate * (m / denominator)
};

void adamw_step(Stream& stream, const AdamWFactors& factors, Tensor& param, const Tensor& grad,
                Tensor& m, Tensor& v, Tensor& compute_copy);

}  // namespace collie::kernels::cpu
