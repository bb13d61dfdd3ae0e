#include "kernels/column_scale.hpp"

#include "kernels/column_scale_impl.hpp"
#include "kernels/dispatch.hpp"

namespace collie::kernels {

namespace {

void check_inside(std::int64_t column, std::int64_t count, std::int64_t width) {
  COLLIE_CHECK(0 <= column && column + count <= width, "columns [{}, {}) of {}", column,
               column + count, width);
}
void check_inverse(const Tensor& inverse_m, std::int64_t width) {
  if (!inverse_m) return;
  require_dtype(inverse_m, DType::f32, "inverse");
  COLLIE_CHECK(inverse_m.element_count() == width);
}

}  // namespace

void place_factors(Stream& stream, const Tensor& values, std::int64_t column,
                   const Tensor& inverse_m, Tensor& factors_m) {
  require_compute(values, "values");
  require_dtype(factors_m, DType::f32, "factors");
  check_inside(column, values.element_count(), factors_m.element_count());
  check_inverse(inverse_m, factors_m.element_count());
  by_device(stream, [&] { cpu::place_factors(values, column, inverse_m, factors_m); });
}

void fill_ones(Stream& stream, Tensor& x) {
  require_dtype(x, DType::f32, "x");
  by_device(stream, [&] { cpu::fill_ones(x); });
}

void scale_columns(Stream& stream, const Tensor& x_tm, const Tensor& factors_m,
                   const Tensor& bias_m, Tensor& out_tm) {
  require_compute(x_tm, "x");
  require_same(x_tm, out_tm, "x and out");
  require_dtype(factors_m, DType::f32, "factors");
  COLLIE_CHECK(x_tm.shape().rank() == 2 && factors_m.element_count() == x_tm.dim(1));
  if (bias_m) {
    require_dtype(bias_m, x_tm.dtype(), "bias");
    COLLIE_CHECK(bias_m.element_count() == x_tm.dim(1));
  }
  by_device(stream, [&] { cpu::scale_columns(stream, x_tm, factors_m, bias_m, out_tm); });
}

void column_dots(Stream& stream, const Tensor& a_tm, std::int64_t column, const Tensor& b_tn,
                 const Tensor& inverse_m, Tensor& d, bool accumulate) {
  require_compute(a_tm, "a");
  require_dtype(b_tn, a_tm.dtype(), "b");
  require_dtype(d, DType::f32, "d");
  COLLIE_CHECK(a_tm.shape().rank() == 2 && b_tn.shape().rank() == 2);
  COLLIE_CHECK(a_tm.dim(0) == b_tn.dim(0) && d.element_count() == b_tn.dim(1));
  check_inside(column, b_tn.dim(1), a_tm.dim(1));
  check_inverse(inverse_m, a_tm.dim(1));
  by_device(stream,
            [&] { cpu::column_dots(stream, a_tm, column, b_tn, inverse_m, d, accumulate); });
}

void row_squares(Stream& stream, const Tensor& w_nk, const Tensor& a_uk, const Tensor& b_nr,
                 const LowRankPlace& place, Tensor& squares_m) {
  require_compute(w_nk, "w");
  require_dtype(squares_m, DType::f32, "squares");
  check_inside(place.column, w_nk.dim(0), squares_m.element_count());
  if (b_nr) {
    require_dtype(a_uk, w_nk.dtype(), "a");
    require_dtype(b_nr, w_nk.dtype(), "b");
    COLLIE_CHECK(a_uk.dim(1) == w_nk.dim(1) && b_nr.dim(0) == w_nk.dim(0));
    check_inside(place.rank_begin, b_nr.dim(1), a_uk.dim(0));
  }
  by_device(stream, [&] { cpu::row_squares(stream, w_nk, a_uk, b_nr, place, squares_m); });
}

void inverse_roots(Stream& stream, const Tensor& squares_m, Tensor& inverse_m) {
  require_dtype(squares_m, DType::f32, "squares");
  require_same(squares_m, inverse_m, "squares and inverse");
  by_device(stream, [&] { cpu::inverse_roots(squares_m, inverse_m); });
}

}  // namespace collie::kernels
