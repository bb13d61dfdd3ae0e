#include "kernels/blend_impl.hpp"
#include "kernels/dispatch.hpp"

namespace collie::kernels::cpu {

// A plain loop: vectors of a target that fuses multiply and add would round once instead of twice.
void blend(Stream& stream, float a, const Tensor& x, float b, const Tensor& y, Tensor& out) {
  const float* x_data = x.data<float>();
  const float* y_data = y.data<float>();
  float* out_data = out.mutable_data<float>();
  for_tiles(stream, x.element_count(), 4 * flat_tile,
            [&](std::int64_t begin, std::int64_t end, int) {
              for (std::int64_t i = begin; i < end; ++i) {
                out_data[i] = a * x_data[i] + b * y_data[i];
              }
            });
}

}  // namespace collie::kernels::cpu
