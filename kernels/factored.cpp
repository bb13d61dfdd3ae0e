#include "kernels/factored.hpp"

#include "kernels/factored_impl.hpp"
#include "kernels/flat_update.hpp"
#include "kernels/flat_update_impl.hpp"

namespace collie::kernels {

namespace {

// With the two factors, of which the first may be undefined.
cpu::FactoredOperands operands(const FactoredGradient& how, const Tensor& grad_rc) {
  cpu::FactoredOperands of;
  of.grad = grad_rc.data<float>();
  of.rows = grad_rc.dim(0);
  of.cols = grad_rc.dim(1);
  of.scale = static_cast<float>(how.gradient_scale);
  of.clip = static_cast<float>(how.clip_value);
  of.clips = how.clip_value > 0.0;
  return of;
}

cpu::FactoredOperands operands(const FactoredGradient& how, const Tensor& grad_rc,
                               const Tensor& row_factors_r, const Tensor& col_factors_c) {
  cpu::FactoredOperands of = operands(how, grad_rc);
  if (row_factors_r) of.row_factors = row_factors_r.data<float>();
  of.col_factors = col_factors_c.data<float>();
  return of;
}

void require_matrix(const Tensor& grad_rc, const Tensor& of_rows, const Tensor& of_cols) {
  require_dtype(grad_rc, DType::f32, "grad");
  COLLIE_CHECK(grad_rc.shape().rank() == 2, "grad must be a matrix");
  require_dtype(of_cols, DType::f32, "column numbers");
  require_shape(of_cols, {grad_rc.dim(1)}, "column numbers");
  COLLIE_CHECK(of_rows || grad_rc.dim(0) == 1, "a matrix of several rows needs row numbers");
  if (!of_rows) return;
  require_dtype(of_rows, DType::f32, "row numbers");
  require_shape(of_rows, {grad_rc.dim(0)}, "row numbers");
}

void require_scalar(const Tensor& tensor, const char* name) {
  require_dtype(tensor, DType::f32, name);
  require_shape(tensor, {1}, name);
}

}  // namespace

void factored_sums(Stream& stream, const FactoredGradient& how, const Tensor& grad_rc,
                   const Tensor& param_rc, Tensor& row_sums_r, Tensor& col_sums_c,
                   Tensor& param_squares) {
  require_matrix(grad_rc, row_sums_r, col_sums_c);
  require_same(param_rc, grad_rc, "param and grad");
  require_scalar(param_squares, "param_squares");
  by_device(stream, [&] {
    cpu::factored_sums(stream, operands(how, grad_rc), param_rc.data<float>(),
                       row_sums_r ? row_sums_r.mutable_data<float>() : nullptr,
                       col_sums_c.mutable_data<float>(), param_squares.mutable_data<float>());
  });
}

void factored_moments(Stream& stream, double keep, double count, double epsilon, const Tensor& sums,
                      Tensor& moments, Tensor& total) {
  require_dtype(sums, DType::f32, "sums");
  require_same(sums, moments, "sums and moments");
  require_scalar(total, "total");
  by_device(stream, [&] {
    cpu::factored_moments(static_cast<float>(keep), static_cast<float>(1.0 - keep), count, epsilon,
                          sums, moments, total);
  });
}

void factored_factors(Stream& stream, double mean, const Tensor& moments, Tensor& factors) {
  require_dtype(moments, DType::f32, "moments");
  require_same(moments, factors, "moments and factors");
  by_device(stream, [&] { cpu::factored_factors(mean, moments, factors); });
}

void factored_squares(Stream& stream, const FactoredGradient& how, const Tensor& grad_rc,
                      const Tensor& row_factors_r, const Tensor& col_factors_c, Tensor& squares) {
  require_matrix(grad_rc, row_factors_r, col_factors_c);
  require_scalar(squares, "squares");
  by_device(stream, [&] {
    cpu::factored_squares(stream, operands(how, grad_rc, row_factors_r, col_factors_c),
                          squares.mutable_data<float>());
  });
}

void factored_step(Stream& stream, const FactoredStep& step, const Tensor& grad_rc,
                   const Tensor& row_factors_r, const Tensor& col_factors_c, Tensor& exp_avg_rc,
                   Tensor& param_rc, Tensor& compute_copy_rc) {
  require_matrix(grad_rc, row_factors_r, col_factors_c);
  if (exp_avg_rc) {
    require_flat_update(param_rc, grad_rc, {&exp_avg_rc}, compute_copy_rc);
  } else {
    require_flat_update(param_rc, grad_rc, {}, compute_copy_rc);
  }
  by_device(stream, [&] {
    cpu::FactoredTarget to;
    to.param = param_rc.mutable_data<float>();
    if (compute_copy_rc) {
      to.copy = compute_copy_rc.mutable_data<BFloat16>();
      to.copy_past_caches =
          grad_rc.dim(1) % 32 == 0 && cpu::stores_past_caches(to.copy, param_rc.element_count());
    }
    if (exp_avg_rc && exp_avg_rc.dtype() == DType::f32) {
      to.exp_avg = exp_avg_rc.mutable_data<float>();
    } else if (exp_avg_rc) {
      to.narrow_exp_avg = exp_avg_rc.mutable_data<BFloat16>();
    }
    to.rate = static_cast<float>(step.rate);
    to.shrunk_by = static_cast<float>(1.0 - step.shrink);
    to.beta1 = static_cast<float>(step.beta1);
    to.take1 = static_cast<float>(1.0 - step.beta1);
    cpu::factored_step(stream, operands(step.gradient, grad_rc, row_factors_r, col_factors_c), to);
  });
}

}  // namespace collie::kernels
