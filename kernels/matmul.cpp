#include "kernels/matmul.hpp"

#include "kernels/dispatch.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/matmul_impl.hpp"

namespace collie::kernels {

namespace {

using cpu::Product;

// Runs the product on tensors; where the processor has no bf16 products, on f32 copies of them.
void run_product(Stream& stream, Product product, const Tensor& a, const Tensor& b,
                 const Tensor& bias, Tensor& c) {
  if (product.in == DType::f32 || cpu::has_bf16_products()) {
    cpu::multiply(stream, product, a.raw(), b.raw(), product.bias ? bias.raw() : nullptr,
                  c.mutable_raw());
    return;
  }
  const auto widen = [&](const Tensor& narrow) {
    if (narrow.dtype() == DType::f32) return narrow;
    Tensor wide = stream.allocate(DType::f32, narrow.shape());
    cast(stream, narrow, wide);
    return wide;
  };
  const bool narrow_result = product.out == DType::bf16;
  Tensor wide_c =
      narrow_result && !product.accumulate ? stream.allocate(DType::f32, c.shape()) : widen(c);
  product.in = product.out = DType::f32;
  run_product(stream, product, widen(a), widen(b), product.bias ? widen(bias) : bias, wide_c);
  if (narrow_result) cast(stream, wide_c, c);
}

void require_matrix(const Tensor& tensor, const char* name) {
  require_compute(tensor, name);
  COLLIE_CHECK(tensor.shape().rank() == 2 && tensor.element_count() > 0,
               "{} must be a non-empty matrix, not {}", name, to_string(tensor.shape()));
}

void require_like(const Tensor& tensor, DType dtype, const Shape& shape, const char* name) {
  require_shape(tensor, shape, name);
  require_dtype(tensor, dtype, name);
}

}  // namespace

void linear_forward(Stream& stream, const Tensor& x_tk, const Tensor& w_nk, const Tensor& bias_n,
                    Tensor& y_tn) {
  require_matrix(x_tk, "x");
  const std::int64_t t = x_tk.dim(0);
  const std::int64_t k = x_tk.dim(1);
  require_matrix(w_nk, "w");
  const std::int64_t n = w_nk.dim(0);
  require_like(w_nk, x_tk.dtype(), {n, k}, "w");
  require_like(y_tn, x_tk.dtype(), {t, n}, "y");
  if (bias_n) require_like(bias_n, x_tk.dtype(), {n}, "bias");
  const Product product{.m = t,
                        .n = n,
                        .k = k,
                        .a_row = k,
                        .a_column = 1,
                        .b_row = 1,
                        .b_column = k,
                        .c_row = n,
                        .in = x_tk.dtype(),
                        .out = x_tk.dtype(),
                        .bias = bias_n.defined()};
  by_device(stream, [&] { run_product(stream, product, x_tk, w_nk, bias_n, y_tn); });
}

void linear_backward_input(Stream& stream, const Tensor& dy_tn, const Tensor& w_nk, Tensor& dx_tk,
                           bool accumulate) {
  require_matrix(dy_tn, "dy");
  require_matrix(w_nk, "w");
  const std::int64_t t = dy_tn.dim(0);
  const std::int64_t n = dy_tn.dim(1);
  const std::int64_t k = w_nk.dim(1);
  require_like(w_nk, dy_tn.dtype(), {n, k}, "w");
  require_like(dx_tk, dy_tn.dtype(), {t, k}, "dx");
  const Product product{.m = t,
                        .n = k,
                        .k = n,
                        .a_row = n,
                        .a_column = 1,
                        .b_row = k,
                        .b_column = 1,
                        .c_row = k,
                        .in = dy_tn.dtype(),
                        .out = dy_tn.dtype(),
                        .accumulate = accumulate};
  by_device(stream, [&] { run_product(stream, product, dy_tn, w_nk, {}, dx_tk); });
}

void linear_backward_weight(Stream& stream, const Tensor& dy_tn, const Tensor& x_tk, Tensor& dw_nk,
                            Tensor& db_n, bool accumulate) {
  require_matrix(dy_tn, "dy");
  require_matrix(x_tk, "x");
  const std::int64_t t = dy_tn.dim(0);
  const std::int64_t n = dy_tn.dim(1);
  const std::int64_t k = x_tk.dim(1);
  require_like(x_tk, dy_tn.dtype(), {t, k}, "x");
  require_like(dw_nk, DType::f32, {n, k}, "dw");
  if (db_n) require_like(db_n, DType::f32, {n}, "db");
  const Product product{.m = n,
                        .n = k,
                        .k = t,
                        .a_row = 1,
                        .a_column = n,
                        .b_row = k,
                        .b_column = 1,
                        .c_row = k,
                        .in = dy_tn.dtype(),
                        .out = DType::f32,
                        .accumulate = accumulate};
  by_device(stream, [&] {
    run_product(stream, product, dy_tn, x_tk, {}, dw_nk);
    if (db_n) cpu::column_sums(stream, dy_tn, db_n, accumulate);
  });
}

void linear_backward_bias(Stream& stream, const Tensor& dy_tn, Tensor& db_n, bool accumulate) {
  require_matrix(dy_tn, "dy");
  require_like(db_n, DType::f32, {dy_tn.dim(1)}, "db");
  by_device(stream, [&] { cpu::column_sums(stream, dy_tn, db_n, accumulate); });
}

}  // namespace collie::kernels
