#include "kernels/blend.hpp"
#include "kernels/elementwise.hpp"
#include "models/delay_corrections/rules.hpp"

namespace collie {

void carry_weights(Stream& stream, Parameters& parameters, double factor, const Tensor& direction,
                   Tensor& out) {
  const auto by = static_cast<float>(factor);
  if (out.dtype() == DType::f32) {
    kernels::blend(stream, 1.0F, parameters.values(), by, direction, out);
    return;
  }
  Tensor carried = stream.allocate(DType::f32, out.shape());
  kernels::blend(stream, 1.0F, parameters.values(), by, direction, carried);
  kernels::cast(stream, carried, out);
}

}  // namespace collie
