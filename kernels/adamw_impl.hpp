// The CPU side of adamw.hpp. Operands are checked.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels::cpu {

// The constants of one step, in the order in which an element meets them.
struct AdamWFactors {
  float gradient;  // grad *= gradient
  float decay;     // param -= decay * param: 1 - decay would be rounded the same way each step
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

// The constants of a direction.
struct AdamWDirection {
  float inverse1;      // of the first moment's bias correction
  float inverse_root;  // of the root of the second's
  float epsilon;
  float decay;
};

void adamw_direction(Stream& stream, const AdamWDirection& factors, const Tensor& param,
                     const Tensor& m, const Tensor& v, Tensor& out);

}  // namespace collie::kernels::cpu
