// The CPU side of adan.hpp. Operands are checked.
#pragma once

#include <span>

#include "runtime/stream.hpp"

namespace collie::kernels::cpu {

struct AdanFactors {
  float gradient, keep1, take1, keep2, take2, keep3, take3;
  float inverse_root, epsilon, rate_m, rate_v;
  float decay_before, decay_after;  // param -= decay * param, around the move
  bool is_first;
};

void adan_step(Stream& stream, const AdanFactors& factors, Tensor& param, const Tensor& grad,
               std::span<Tensor> states, Tensor& compute_copy);

}  // namespace collie::kernels::cpu
