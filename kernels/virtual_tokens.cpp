#include "kernels/virtual_tokens.hpp"

#include "kernels/dispatch.hpp"
#include "kernels/virtual_tokens_impl.hpp"

namespace collie::kernels {

namespace {

void check_place(const Tensor& prefix_cn, const Tensor& positions_t, std::int64_t column,
                 const Tensor& x_tm) {
  require_compute(x_tm, "x");
  require_dtype(positions_t, DType::i32, "positions");
  COLLIE_CHECK(x_tm.shape().rank() == 2 && prefix_cn.shape().rank() == 2);
  COLLIE_CHECK(positions_t.element_count() == x_tm.dim(0), "one position for each token");
  COLLIE_CHECK(0 <= column && column + prefix_cn.dim(0) <= x_tm.dim(1));
}

}  // namespace

void place_prefix(Stream& stream, const Tensor& prefix_cn, const Tensor& positions_t,
                  std::int64_t column, Tensor& x_tm) {
  check_place(prefix_cn, positions_t, column, x_tm);
  require_dtype(prefix_cn, x_tm.dtype(), "prefix");
  by_device(stream, [&] { cpu::place_prefix(stream, prefix_cn, positions_t, column, x_tm); });
}

void take_prefix_gradient(Stream& stream, const Tensor& positions_t, std::int64_t column,
                          Tensor& dx_tm, Tensor& dprefix_cn, bool accumulate) {
  check_place(dprefix_cn, positions_t, column, dx_tm);
  require_dtype(dprefix_cn, DType::f32, "dprefix");
  by_device(stream, [&] {
    cpu::take_prefix_gradient(stream, positions_t, column, dx_tm, dprefix_cn, accumulate);
  });
}

void relu(Stream& stream, Tensor& x) {
  require_compute(x, "x");
  by_device(stream, [&] { cpu::relu(x); });
}

void relu_backward(Stream& stream, const Tensor& y, Tensor& dy) {
  require_compute(y, "y");
  require_same(y, dy, "y and dy");
  by_device(stream, [&] { cpu::relu_backward(y, dy); });
}

}  // namespace collie::kernels
