// Factors on the columns of an activation, and what their gradients and DoRA's norms need.
// Legend: T tokens, M columns of the whole activation, N of them from `column` on, K input features
// of a weight, R rank, U rows of several A's one below the other.
//
// dtypes: activations, weights and values f32 or bf16; factors, inverse, squares and d f32.
#pragma once

#include "kernels/low_rank.hpp"
#include "runtime/stream.hpp"

namespace collie::kernels {

// factors[column + n] = values[n] * inverse[column + n]; without inverse (undefined): values[n].
// values, of any shape, have N elements.
void place_factors(Stream& stream, const Tensor& values, std::int64_t column,
                   const Tensor& inverse_m, Tensor& factors_m);
void fill_ones(Stream& stream, Tensor& x);  // f32

// out[t, m] = x[t, m] * factors[m] + bias[m]; bias (dtype of x) may be undefined, out may be x.
void scale_columns(Stream& stream, const Tensor& x_tm, const Tensor& factors_m,
                   const Tensor& bias_m, Tensor& out_tm);

// d[n] = or += inverse[column + n] * sum over t of a[t, column + n] b[t, n]; inverse may be
// undefined. d, of any shape, has N elements.
void column_dots(Stream& stream, const Tensor& a_tm, std::int64_t column, const Tensor& b_tn,
                 const Tensor& inverse_m, Tensor& d, bool accumulate);

// squares[place.column + n] = sum over k of (w[n, k] + scale * sum over r of b[n, r]
// a[place.rank_begin + r, k])^2; a and b may be undefined.
void row_squares(Stream& stream, const Tensor& w_nk, const Tensor& a_uk, const Tensor& b_nr,
                 const LowRankPlace& place, Tensor& squares_m);
// inverse[m] = 1 / sqrt(squares[m]), 0 where that is infinite.
void inverse_roots(Stream& stream, const Tensor& squares_m, Tensor& inverse_m);

}  // namespace collie::kernels
