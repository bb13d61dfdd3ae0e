#include "kernels/rounding.hpp"

#include "kernels/dispatch.hpp"
#include "kernels/rounding_impl.hpp"

namespace collie::kernels {

void round_stochastic(Stream& stream, const RoundingNumbers& numbers, const Tensor& from,
                      Tensor& to) {
  require_dtype(from, DType::f32, "from");
  require_dtype(to, DType::bf16, "to");
  COLLIE_CHECK(from.element_count() == to.element_count());
  by_device(stream, [&] { cpu::round_stochastic(stream, numbers, from, to); });
}

}  // namespace collie::kernels
