// The CPU side of norm.hpp. Operands are checked.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels::cpu {

inline constexpr std::int64_t norm_tile = 32;  // tokens of one task, and of one partial gradient

struct NormForward {
  const Tensor& x;
  const Tensor& delta;
  const Tensor& gain;
  const Tensor& bias;
  float epsilon;
  Tensor& h;
  Tensor& y;
  Tensor& rstd;
  Tensor& mean;
};
struct NormBackward {
  const Tensor& dy;
  const Tensor& h;
  const Tensor& gain;
  const Tensor& rstd;
  const Tensor& mean;
  const Tensor& dresidual;
  Tensor& dx;
  Tensor& dgain;
  Tensor& dbias;
  bool accumulate;
};

void norm_forward(Stream& stream, const NormForward& op);
void norm_backward(Stream& stream, const NormBackward& op);

}  // namespace collie::kernels::cpu
