#include "kernels/activation.hpp"

#include "kernels/activation_impl.hpp"
#include "kernels/dispatch.hpp"

namespace collie::kernels {

namespace {

void check_gated(const Tensor& y_tf, const Tensor& gate_up_t2f) {
  require_compute(y_tf, "y");
  COLLIE_CHECK(y_tf.shape().rank() == 2, "y must be [tokens, width]");
  require_dtype(gate_up_t2f, y_tf.dtype(), "gate_up");
  require_shape(gate_up_t2f, {y_tf.dim(0), 2 * y_tf.dim(1)}, "gate_up");
}

}  // namespace

void swiglu_forward(Stream& stream, const Tensor& gate_up_t2f, Tensor& y_tf) {
  check_gated(y_tf, gate_up_t2f);
  by_device(stream, [&] { cpu::swiglu_forward(stream, gate_up_t2f, y_tf); });
}

void swiglu_backward(Stream& stream, const Tensor& dy_tf, const Tensor& gate_up_t2f,
                     Tensor& dgate_up_t2f) {
  check_gated(dy_tf, gate_up_t2f);
  require_same(dgate_up_t2f, gate_up_t2f, "dgate_up and gate_up");
  by_device(stream, [&] { cpu::swiglu_backward(stream, dy_tf, gate_up_t2f, dgate_up_t2f); });
}

void gelu_forward(Stream& stream, Gelu kind, const Tensor& x_tf, Tensor& y_tf) {
  require_compute(x_tf, "x");
  require_same(y_tf, x_tf, "y and x");
  by_device(stream, [&] { cpu::gelu_forward(stream, kind, x_tf, y_tf); });
}

void gelu_backward(Stream& stream, Gelu kind, const Tensor& dy_tf, const Tensor& x_tf,
                   Tensor& dx_tf) {
  require_compute(x_tf, "x");
  require_same(dy_tf, x_tf, "dy and x");
  require_same(dx_tf, x_tf, "dx and x");
  by_device(stream, [&] { cpu::gelu_backward(stream, kind, dy_tf, x_tf, dx_tf); });
}

}  // namespace collie::kernels
