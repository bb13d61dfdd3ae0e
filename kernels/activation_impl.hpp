// The CPU side of activation.hpp. Operands are checked.
#pragma once

#include "kernels/activation.hpp"

namespace collie::kernels::cpu {

void swiglu_forward(Stream& stream, const Tensor& gate_up, Tensor& y);
void swiglu_backward(Stream& stream, const Tensor& dy, const Tensor& gate_up, Tensor& dgate_up);
void gelu_forward(Stream& stream, Gelu kind, const Tensor& x, Tensor& y);
void gelu_backward(Stream& stream, Gelu kind, const Tensor& dy, const Tensor& x, Tensor& dx);

}  // namespace collie::kernels::cpu
