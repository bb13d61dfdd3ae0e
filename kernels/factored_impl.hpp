// The CPU side of factored.hpp. Operands are checked.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels::cpu {

// A gradient as it is read; clip is infinite where there is none.
struct FactoredOperands {
  const float* grad = nullptr;
  std::int64_t rows = 0, cols = 0;
  float scale = 1.0F;
  float clip = 0.0F;
  bool clips = false;
  const float* row_factors = nullptr;  // null: 1
  const float* col_factors = nullptr;
};

struct FactoredTarget {
  float* param = nullptr;
  BFloat16* copy = nullptr;  // may be null
  bool copy_past_caches = false;
  float* exp_avg = nullptr;  // at most one of the two
  BFloat16* narrow_exp_avg = nullptr;
  float rate = 0.0F, shrunk_by = 0.0F, beta1 = 0.0F, take1 = 1.0F;
};

void factored_sums(Stream& stream, const FactoredOperands& of, const float* param, float* row_sums,
                   float* col_sums, float* param_squares);
void factored_moments(float keep, float take, double count, double epsilon, const Tensor& sums,
                      Tensor& moments, Tensor& total);
void factored_factors(double mean, const Tensor& moments, Tensor& factors);
void factored_squares(Stream& stream, const FactoredOperands& of, float* squares);
void factored_step(Stream& stream, const FactoredOperands& of, const FactoredTarget& to);

}  // namespace collie::kernels::cpu
