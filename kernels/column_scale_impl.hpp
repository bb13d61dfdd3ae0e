// The CPU side of column_scale.hpp. Operands are checked.
#pragma once

#include "kernels/column_scale.hpp"

namespace collie::kernels::cpu {

void place_factors(const Tensor& values, std::int64_t column, const Tensor& inverse_m,
                   Tensor& factors_m);
void fill_ones(Tensor& x);
void scale_columns(Stream& stream, const Tensor& x_tm, const Tensor& factors_m,
                   const Tensor& bias_m, Tensor& out_tm);
void column_dots(Stream& stream, const Tensor& a_tm, std::int64_t column, const Tensor& b_tn,
                 const Tensor& inverse_m, Tensor& d, bool accumulate);
void row_squares(Stream& stream, const Tensor& w_nk, const Tensor& a_uk, const Tensor& b_nr,
                 const LowRankPlace& place, Tensor& squares_m);
void inverse_roots(const Tensor& squares_m, Tensor& inverse_m);

}  // namespace collie::kernels::cpu
