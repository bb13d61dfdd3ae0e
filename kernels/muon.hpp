// Muon's pieces (Jordan et al. 2024): momentum, orthogonalisation, update. Legend: R rows, C
// columns of a matrix, all f32 unless said otherwise.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels {

// g = gradient_scale * grad; velocity = momentum * velocity + (1 - momentum) * g; update =
// velocity, or with nesterov momentum * velocity + (1 - momentum) * g. One pass; velocity f32 or
// bf16 (rounded to nearest).
struct MuonMomentum {
  double momentum = 0.95;
  bool nesterov = true;
  double gradient_scale = 1.0;
};
void muon_momentum(Stream& stream, const MuonMomentum& step, const Tensor& grad, Tensor& velocity,
                   Tensor& update);

// The quintic Newton-Schulz iteration on update / max(|update|, 1e-7), which brings its singular
// values near 1: X = 3.4445 X - 4.7750 A X + 2.0315 A A X with A = X X^T, `steps` times. In f32;
// update is replaced and may share the argument's buffer no longer.
void orthogonalize(Stream& stream, int steps, Tensor& update_rc);

// param = shrink * param - rate * update; compute_copy (bf16, may be undefined) receives the
// rounded new parameters.
void muon_step(Stream& stream, double rate, double shrink, const Tensor& update, Tensor& param,
               Tensor& compute_copy);

// Copies a block of `rows` x `cols` from (from_row, from_col) to (to_row, to_col).
struct BlockCopy {
  std::int64_t rows = 0, cols = 0;
  std::int64_t from_row = 0, from_col = 0;
  std::int64_t to_row = 0, to_col = 0;
};
void copy_block(Stream& stream, const BlockCopy& block, const Tensor& from_rc, Tensor& to_rc);

}  // namespace collie::kernels
