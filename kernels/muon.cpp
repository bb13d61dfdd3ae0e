#include "kernels/muon.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/blend.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/flat_update.hpp"
#include "kernels/matmul.hpp"
#include "kernels/muon_impl.hpp"
#include "kernels/sgd.hpp"

namespace collie::kernels {

namespace {

constexpr float quintic_a = 3.4445F, quintic_b = -4.7750F, quintic_c = 2.0315F;
constexpr double norm_min = 1e-7;

}  // namespace

void muon_momentum(Stream& stream, const MuonMomentum& step, const Tensor& grad, Tensor& velocity,
                   Tensor& update) {
  require_flat_update(update, grad, {&velocity}, Tensor());
  const cpu::MuonFactors factors{.gradient = static_cast<float>(step.gradient_scale),
                                 .keep = static_cast<float>(step.momentum),
                                 .take = static_cast<float>(1.0 - step.momentum),
                                 .nesterov = step.nesterov};
  by_device(stream, [&] { cpu::muon_momentum(stream, factors, grad, velocity, update); });
}

// The smaller of the two Gram matrices is the one that is squared.
void orthogonalize(Stream& stream, int steps, Tensor& update_rc) {
  require_dtype(update_rc, DType::f32, "update");
  COLLIE_CHECK(update_rc.shape().rank() == 2, "update must be a matrix");
  const bool is_tall = update_rc.dim(0) > update_rc.dim(1);
  const std::int64_t side = std::min(update_rc.dim(0), update_rc.dim(1));
  const double norm = std::sqrt(sum_of_squares(stream, update_rc));
  Tensor x = stream.allocate(DType::f32, update_rc.shape());
  Tensor product = stream.allocate(DType::f32, update_rc.shape());
  Tensor gram = stream.allocate(DType::f32, {side, side});
  Tensor square = stream.allocate(DType::f32, {side, side});
  Tensor none;
  blend(stream, static_cast<float>(1.0 / std::max(norm, norm_min)), update_rc, 0.0F, update_rc, x);
  for (int i = 0; i < steps; ++i) {
    if (is_tall) {
      linear_backward_weight(stream, x, x, gram, none, false);
    } else {
      linear_forward(stream, x, x, none, gram);
    }
    linear_forward(stream, gram, gram, none, square);  // symmetric
    blend(stream, quintic_b, gram, quintic_c, square, square);
    if (is_tall) {
      linear_forward(stream, x, square, none, product);
    } else {
      linear_backward_input(stream, square, x, product);
    }
    blend(stream, quintic_a, x, 1.0F, product, x);
  }
  update_rc = x;
}

void muon_step(Stream& stream, double rate, double shrink, const Tensor& update, Tensor& param,
               Tensor& compute_copy) {
  Tensor none;
  sgd_step(stream, {.learning_rate = rate, .momentum = 0.0, .shrink = shrink}, param, update, none,
           compute_copy);
}

void copy_block(Stream& stream, const BlockCopy& block, const Tensor& from_rc, Tensor& to_rc) {
  require_dtype(from_rc, DType::f32, "from");
  require_dtype(to_rc, DType::f32, "to");
  const auto fits = [&](const Tensor& tensor, std::int64_t row, std::int64_t col) {
    return tensor.shape().rank() == 2 && row >= 0 && col >= 0 &&
           row + block.rows <= tensor.dim(0) && col + block.cols <= tensor.dim(1);
  };
  COLLIE_CHECK(
      fits(from_rc, block.from_row, block.from_col) && fits(to_rc, block.to_row, block.to_col),
      "a block of {} x {} from {} to {}", block.rows, block.cols, to_string(from_rc.shape()),
      to_string(to_rc.shape()));
  by_device(stream, [&] { cpu::copy_block(stream, block, from_rc, to_rc); });
}

}  // namespace collie::kernels
