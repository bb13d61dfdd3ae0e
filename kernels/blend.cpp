#include "kernels/blend.hpp"

#include "kernels/blend_impl.hpp"
#include "kernels/dispatch.hpp"

namespace collie::kernels {

void blend(Stream& stream, float a, const Tensor& x, float b, const Tensor& y, Tensor& out) {
  require_dtype(x, DType::f32, "x");
  require_same(x, y, "x and y");
  require_same(x, out, "x and out");
  by_device(stream, [&] { cpu::blend(stream, a, x, b, y, out); });
}

}  // namespace collie::kernels
