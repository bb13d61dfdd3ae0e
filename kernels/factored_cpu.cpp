#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/dispatch.hpp"
#include "kernels/factored_impl.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/factored_cpu.cpp"
#include "kernels/flat_stores.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {

namespace {

HWY_INLINE FloatVec read_gradient(const cpu::FactoredOperands& of, std::int64_t at,
                                  std::int64_t n) {
  FloatVec g = load_n(of.grad + at, n);
  if (of.clips) g = hn::Max(hn::Min(g, splat(of.clip)), splat(-of.clip));
  return hn::Mul(g, splat(of.scale));
}

template <class State>
void step_row(const cpu::FactoredOperands& of, const cpu::FactoredTarget& to, State* exp_avg,
              std::int64_t row) {
  const std::int64_t first = row * of.cols;
  const float row_factor = of.row_factors == nullptr ? 1.0F : of.row_factors[row];
  const FloatVec rate = splat(to.rate * row_factor);
  for_vectors(0, of.cols, [&](std::int64_t j, std::int64_t n) HWY_ATTR {
    const std::int64_t at = first + j;
    const FloatVec u = hn::Mul(read_gradient(of, at, n), load_n(of.col_factors + j, n));
    FloatVec move = hn::Mul(rate, u);
    if (exp_avg != nullptr) {
      move = hn::MulAdd(splat(to.beta1), load_n(exp_avg + at, n), hn::Mul(splat(to.take1), move));
      store_n(move, exp_avg + at, n);
    }
    const FloatVec old = load_n(to.param + at, n);
    const FloatVec param = hn::Sub(hn::NegMulAdd(splat(to.shrunk_by), old, old), move);
    store_n(param, to.param + at, n);
    if (to.copy != nullptr) store_copy(param, to.copy, to.copy_past_caches, at, n);
  });
}

}  // namespace

// Sets this tile's row sums and column sums; returns its sum of param^2.
double sums_range(const cpu::FactoredOperands& of, const float* param, float* row_sums,
                  float* col_sums, std::int64_t begin, std::int64_t end) {
  std::fill_n(col_sums, of.cols, 0.0F);
  double squares = 0.0;
  for (std::int64_t row = begin; row < end; ++row) {
    FloatVec row_sum = zero(), row_squares = zero();
    for_vectors(0, of.cols, [&](std::int64_t j, std::int64_t n) HWY_ATTR {
      const std::int64_t at = row * of.cols + j;
      const FloatVec g = read_gradient(of, at, n);
      const FloatVec p = load_n(param + at, n);
      row_sum = hn::MulAdd(g, g, row_sum);
      row_squares = hn::MulAdd(p, p, row_squares);
      store_n(hn::MulAdd(g, g, load_n(col_sums + j, n)), col_sums + j, n);
    });
    if (row_sums != nullptr) row_sums[row] = sum_lanes(row_sum);
    squares += double{sum_lanes(row_squares)};
  }
  return squares;
}

double squares_range(const cpu::FactoredOperands& of, std::int64_t begin, std::int64_t end) {
  double squares = 0.0;
  for (std::int64_t row = begin; row < end; ++row) {
    const float factor = of.row_factors == nullptr ? 1.0F : of.row_factors[row];
    FloatVec sum = zero();
    for_vectors(0, of.cols, [&](std::int64_t j, std::int64_t n) HWY_ATTR {
      const FloatVec g = read_gradient(of, row * of.cols + j, n);
      const FloatVec u = hn::Mul(hn::Mul(g, splat(factor)), load_n(of.col_factors + j, n));
      sum = hn::MulAdd(u, u, sum);
    });
    squares += double{sum_lanes(sum)};
  }
  return squares;
}

void step_range(const cpu::FactoredOperands& of, const cpu::FactoredTarget& to, std::int64_t begin,
                std::int64_t end) {
  for (std::int64_t row = begin; row < end; ++row) {
    to.narrow_exp_avg != nullptr ? step_row(of, to, to.narrow_exp_avg, row)
                                 : step_row(of, to, to.exp_avg, row);
  }
  finish_copy(to.copy_past_caches);
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

HWY_EXPORT(sums_range);
HWY_EXPORT(squares_range);
HWY_EXPORT(step_range);

namespace cpu {

namespace {

// Rows of one task: few enough for the cores, many enough that a tile's column sums cost little.
std::int64_t tile_rows(const FactoredOperands& of) {
  constexpr std::int64_t tiles_max = 64;
  const std::int64_t cols = std::max<std::int64_t>(1, of.cols);
  return std::max({std::int64_t{1}, 4 * flat_tile / cols, ceil_div(of.rows, tiles_max)});
}

}  // namespace

void factored_sums(Stream& stream, const FactoredOperands& of, const float* param, float* row_sums,
                   float* col_sums, float* param_squares) {
  const std::int64_t tile = tile_rows(of);
  const std::int64_t tiles = std::max<std::int64_t>(1, ceil_div(of.rows, tile));
  Tensor partial = stream.allocate(DType::f32, {tiles, of.cols});
  float* partial_data = partial.mutable_data<float>();
  std::vector<double> squares(static_cast<std::size_t>(tiles), 0.0);
  for_tiles(stream, of.rows, tile, [&](std::int64_t begin, std::int64_t end, int) {
    const std::int64_t index = begin / tile;
    squares[static_cast<std::size_t>(index)] = HWY_DYNAMIC_DISPATCH(sums_range)(
        of, param, row_sums, partial_data + index * of.cols, begin, end);
  });
  for_tiles(stream, of.cols, flat_tile, [&](std::int64_t begin, std::int64_t end, int) {
    std::fill(col_sums + begin, col_sums + end, 0.0F);
    for (std::int64_t index = 0; of.rows > 0 && index < tiles; ++index) {
      const float* from = partial_data + index * of.cols;
      for (std::int64_t j = begin; j < end; ++j) col_sums[j] += from[j];
    }
  });
  double total = 0.0;
  for (const double part : squares) total += part;
  *param_squares = static_cast<float>(total);
}

void factored_moments(float keep, float take, double count, double epsilon, const Tensor& sums,
                      Tensor& moments, Tensor& total) {
  const float* sum_data = sums.data<float>();
  float* data = moments.mutable_data<float>();
  double added = 0.0;
  for (std::int64_t i = 0; i < sums.element_count(); ++i) {
    const double mean = double{sum_data[i]} / count + epsilon;
    data[i] = keep * data[i] + take * static_cast<float>(mean);
    added += double{data[i]};
  }
  *total.mutable_data<float>() = static_cast<float>(added);
}

void factored_factors(double mean, const Tensor& moments, Tensor& factors) {
  const float* data = moments.data<float>();
  float* out = factors.mutable_data<float>();
  for (std::int64_t i = 0; i < moments.element_count(); ++i) {
    out[i] = static_cast<float>(1.0 / std::sqrt(double{data[i]} / mean));
  }
}

void factored_squares(Stream& stream, const FactoredOperands& of, float* squares) {
  const std::int64_t tile = tile_rows(of);
  const std::int64_t tiles = ceil_div(of.rows, tile);
  std::vector<double> parts(static_cast<std::size_t>(tiles), 0.0);
  // Backwards, since the caches hold the end of the gradient from the sums, and then its beginning
  // for the step.
  stream.parallel_for(tiles, [&](std::int64_t index, int) {
    const std::int64_t begin = (tiles - 1 - index) * tile;
    parts[static_cast<std::size_t>(tiles - 1 - index)] =
        HWY_DYNAMIC_DISPATCH(squares_range)(of, begin, std::min(of.rows, begin + tile));
  });
  double total = 0.0;
  for (const double part : parts) total += part;
  *squares = static_cast<float>(total);
}

void factored_step(Stream& stream, const FactoredOperands& of, const FactoredTarget& to) {
  for_tiles(stream, of.rows, tile_rows(of), [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(step_range)(of, to, begin, end);
  });
}

}  // namespace cpu
}  // namespace collie::kernels
#endif
