// Adafactor's pieces (Shazeer & Stern 2018), of which AdaLomo (Lv et al. 2023) is made too: second
// moments of a matrix kept as one number a row and one a column. Between the pieces, sums over
// tensor shards may be taken. Legend: R rows, C columns of this shard's part; all f32 unless said
// otherwise. A vector is a matrix of one row, whose rows have no moments.
//
// g stands for gradient_scale * clip(grad), where clip bounds each element by clip_value (0: none).
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels {

struct FactoredGradient {
  double gradient_scale = 1.0;
  double clip_value = 0.0;
};

// row_sums[R] (may be undefined) and col_sums[C]: of g^2. param_squares[1]: the sum of param^2.
// Read once; added up over fixed tiles in order.
void factored_sums(Stream& stream, const FactoredGradient& how, const Tensor& grad_rc,
                   const Tensor& param_rc, Tensor& row_sums_r, Tensor& col_sums_c,
                   Tensor& param_squares);

// moments = keep * moments + (1 - keep) * (sums / count + epsilon); total[1]: their sum.
void factored_moments(Stream& stream, double keep, double count, double epsilon, const Tensor& sums,
                      Tensor& moments, Tensor& total);

// factors = (moments / mean)^(-1/2).
void factored_factors(Stream& stream, double mean, const Tensor& moments, Tensor& factors);

// squares[1]: the sum of u^2, where u = g * row_factors * col_factors; row_factors may be
// undefined.
void factored_squares(Stream& stream, const FactoredGradient& how, const Tensor& grad_rc,
                      const Tensor& row_factors_r, const Tensor& col_factors_c, Tensor& squares);

struct FactoredStep {
  FactoredGradient gradient;
  double rate = 0.0;    // of u
  double shrink = 1.0;  // of the parameter: weight decay
  double beta1 = 0.0;   // of exp_avg
};

// move = rate * u, or where exp_avg[R,C] (f32 or bf16, rounded to nearest) is defined
// exp_avg = beta1 * exp_avg + (1 - beta1) * rate * u; param = shrink * param - move. compute_copy
// (bf16, may be undefined) receives the rounded new parameters.
void factored_step(Stream& stream, const FactoredStep& step, const Tensor& grad_rc,
                   const Tensor& row_factors_r, const Tensor& col_factors_c, Tensor& exp_avg_rc,
                   Tensor& param_rc, Tensor& compute_copy_rc);

}  // namespace collie::kernels
