// Activations of the MLP. Legend: T tokens, F MLP width. dtypes f32 or bf16, arithmetic in f32.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels {

enum class Gelu { tanh, erf };  // "gelu_new"/"gelu_pytorch_tanh" and "gelu" of Hugging Face

// y[T,F] = silu(gate) * up, where gate_up[T, 2F] holds a token's gate then its up (Shazeer 2020).
void swiglu_forward(Stream& stream, const Tensor& gate_up_t2f, Tensor& y_tf);
void swiglu_backward(Stream& stream, const Tensor& dy_tf, const Tensor& gate_up_t2f,
                     Tensor& dgate_up_t2f);

// y = gelu(x) (Hendrycks & Gimpel 2016).
void gelu_forward(Stream& stream, Gelu kind, const Tensor& x_tf, Tensor& y_tf);
void gelu_backward(Stream& stream, Gelu kind, const Tensor& dy_tf, const Tensor& x_tf,
                   Tensor& dx_tf);

}  // namespace collie::kernels
