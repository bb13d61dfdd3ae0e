#include "kernels/norm.hpp"

#include "kernels/dispatch.hpp"
#include "kernels/norm_impl.hpp"

namespace collie::kernels {

namespace {

void check_statistics(const Tensor& rstd_t, const Tensor& mean_t, std::int64_t tokens) {
  require_dtype(rstd_t, DType::f32, "rstd");
  require_shape(rstd_t, {tokens}, "rstd");
  if (!mean_t) return;
  require_dtype(mean_t, DType::f32, "mean");
  require_shape(mean_t, {tokens}, "mean");
}

void check_parameter(const Tensor& parameter_d, DType dtype, std::int64_t hidden,
                     const char* name) {
  require_dtype(parameter_d, dtype, name);
  require_shape(parameter_d, {hidden}, name);
}

}  // namespace

void norm_forward(Stream& stream, const Tensor& x_td, const Tensor& delta_td, const Tensor& gain_d,
                  const Tensor& bias_d, float epsilon, Tensor& h_td, Tensor& y_td, Tensor& rstd_t,
                  Tensor& mean_t) {
  require_compute(x_td, "x");
  COLLIE_CHECK(x_td.shape().rank() == 2, "x must be [tokens, hidden]");
  COLLIE_CHECK(delta_td.defined() == h_td.defined(), "h goes with delta");
  if (delta_td) {
    require_same(delta_td, x_td, "delta and x");
    require_same(h_td, x_td, "h and x");
  }
  require_same(y_td, x_td, "y and x");
  check_parameter(gain_d, x_td.dtype(), x_td.dim(1), "gain");
  if (bias_d) check_parameter(bias_d, x_td.dtype(), x_td.dim(1), "bias");
  check_statistics(rstd_t, mean_t, x_td.dim(0));
  by_device(stream, [&] {
    cpu::norm_forward(stream,
                      {x_td, delta_td, gain_d, bias_d, epsilon, h_td, y_td, rstd_t, mean_t});
  });
}

void norm_backward(Stream& stream, const Tensor& dy_td, const Tensor& h_td, const Tensor& gain_d,
                   const Tensor& rstd_t, const Tensor& mean_t, const Tensor& dresidual_td,
                   Tensor& dx_td, Tensor& dgain_d, Tensor& dbias_d, bool accumulate) {
  require_compute(h_td, "h");
  COLLIE_CHECK(h_td.shape().rank() == 2, "h must be [tokens, hidden]");
  require_same(dy_td, h_td, "dy and h");
  require_same(dx_td, h_td, "dx and h");
  if (dresidual_td) require_same(dresidual_td, h_td, "dresidual and h");
  check_parameter(gain_d, h_td.dtype(), h_td.dim(1), "gain");
  if (dgain_d) check_parameter(dgain_d, DType::f32, h_td.dim(1), "dgain");
  if (dbias_d) check_parameter(dbias_d, DType::f32, h_td.dim(1), "dbias");
  check_statistics(rstd_t, mean_t, h_td.dim(0));
  by_device(stream, [&] {
    cpu::norm_backward(stream, {dy_td, h_td, gain_d, rstd_t, mean_t, dresidual_td, dx_td, dgain_d,
                                dbias_d, accumulate});
  });
}

}  // namespace collie::kernels
