#include <cmath>
#include <cstring>

#include "kernels/dispatch.hpp"
#include "kernels/norm_impl.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/norm_cpu.cpp"
#include "kernels/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {
namespace {

// Rows in scratch are padded with zeros to whole groups of four vectors, which are summed apart.
constexpr std::int64_t padded(std::int64_t hidden) {
  return (hidden + 4 * 16 - 1) / (4 * 16) * (4 * 16);
}

HWY_INLINE void clear_padding(float* row, std::int64_t hidden) {
  std::memset(row + hidden, 0, static_cast<std::size_t>(padded(hidden) - hidden) * sizeof(float));
}

// Of a b, or of a alone when b is null.
HWY_INLINE float sum_products(const float* a, const float* b, std::int64_t hidden) {
  FloatVec sum[4] = {zero(), zero(), zero(), zero()};
  for (std::int64_t i = 0; i < padded(hidden); i += 4 * lanes) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      const FloatVec factor = b == nullptr ? splat(1.0F) : load(b + i + v * lanes);
      sum[v] = hn::MulAdd(load(a + i + v * lanes), factor, sum[v]);
    }
  }
  return sum_lanes(hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3])));
}

// row = x (+ delta), through the dtype of h, which keeps what the row holds.
template <class T>
HWY_INLINE void add_residual(const T* x, const T* delta, T* h, std::int64_t hidden, float* row) {
  for_vectors(0, hidden, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    FloatVec value = load_n(x + i, n);
    if (delta != nullptr) {
      value = hn::Add(value, load_n(delta + i, n));
      store_n(value, h + i, n);
      value = load_n(h + i, n);
    }
    store_n(value, row + i, n);
  });
  clear_padding(row, hidden);
}

HWY_INLINE float center(float* row, std::int64_t hidden) {
  const float mean = sum_products(row, nullptr, hidden) / static_cast<float>(hidden);
  for (std::int64_t i = 0; i < padded(hidden); i += lanes) {
    store(hn::Sub(load(row + i), splat(mean)), row + i);
  }
  clear_padding(row, hidden);
  return mean;
}

template <class T>
HWY_INLINE void apply_gain(const float* row, float rstd, const T* gain, const T* bias,
                           std::int64_t hidden, T* y) {
  for_vectors(0, hidden, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    const FloatVec scaled = hn::Mul(load_n(row + i, n), splat(rstd));
    const FloatVec shift = bias == nullptr ? zero() : load_n(bias + i, n);
    store_n(hn::MulAdd(scaled, load_n(gain + i, n), shift), y + i, n);
  });
}

template <class T>
const T* data_or_null(const Tensor& tensor) {
  return tensor ? tensor.data<T>() : nullptr;
}

template <class T>
void forward_rows(Stream& stream, const cpu::NormForward& op, std::int64_t begin, std::int64_t end,
                  int lane) {
  const std::int64_t hidden = op.x.dim(1);
  float* const row = reinterpret_cast<float*>(
      stream.scratch(lane, static_cast<std::size_t>(padded(hidden)) * sizeof(float)));
  const T* const delta = data_or_null<T>(op.delta);
  for (std::int64_t t = begin; t < end; ++t) {
    const std::int64_t at = t * hidden;
    add_residual(op.x.data<T>() + at, delta ? delta + at : nullptr,
                 delta ? op.h.mutable_data<T>() + at : nullptr, hidden, row);
    if (op.mean) op.mean.mutable_data<float>()[t] = center(row, hidden);
    const float square = sum_products(row, row, hidden) / static_cast<float>(hidden);
    const float rstd = 1.0F / std::sqrt(square + op.epsilon);
    op.rstd.mutable_data<float>()[t] = rstd;
    apply_gain(row, rstd, op.gain.data<T>(), data_or_null<T>(op.bias), hidden,
               op.y.mutable_data<T>() + at);
  }
}

struct BackwardRow {
  float* normalized;  // (h - mean) * rstd
  float* upstream;    // dy * gain
  float* dgain;       // partial sums of this tile
  float* dbias;
};

template <class T>
HWY_INLINE void open_row(const T* dy, const T* h, const T* gain, float rstd, float mean,
                         std::int64_t hidden, const BackwardRow& row) {
  for_vectors(0, hidden, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    const FloatVec gradient = load_n(dy + i, n);
    const FloatVec value = hn::Mul(hn::Sub(load_n(h + i, n), splat(mean)), splat(rstd));
    store_n(value, row.normalized + i, n);
    store_n(hn::Mul(gradient, load_n(gain + i, n)), row.upstream + i, n);
    store_n(hn::MulAdd(gradient, value, load_n(row.dgain + i, n)), row.dgain + i, n);
    if (row.dbias != nullptr) {
      store_n(hn::Add(gradient, load_n(row.dbias + i, n)), row.dbias + i, n);
    }
  });
}

template <class T>
HWY_INLINE void close_row(const BackwardRow& row, float rstd, float mean_upstream,
                          float mean_product, const T* dresidual, std::int64_t hidden, T* dx) {
  for_vectors(0, hidden, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    const FloatVec moved = hn::Sub(load_n(row.upstream + i, n), splat(mean_upstream));
    const FloatVec inner = hn::NegMulAdd(load_n(row.normalized + i, n), splat(mean_product), moved);
    const FloatVec past = dresidual == nullptr ? zero() : load_n(dresidual + i, n);
    store_n(hn::MulAdd(inner, splat(rstd), past), dx + i, n);
  });
}

template <class T>
void backward_rows(Stream& stream, const cpu::NormBackward& op, float* partial, std::int64_t begin,
                   std::int64_t end, int lane) {
  const std::int64_t hidden = op.h.dim(1);
  float* const scratch = reinterpret_cast<float*>(
      stream.scratch(lane, 2 * static_cast<std::size_t>(padded(hidden)) * sizeof(float)));
  const BackwardRow row{scratch, scratch + padded(hidden), partial,
                        op.dbias ? partial + hidden : nullptr};
  clear_padding(row.normalized, hidden);
  clear_padding(row.upstream, hidden);
  std::memset(partial, 0, 2 * static_cast<std::size_t>(hidden) * sizeof(float));
  const T* const dresidual = data_or_null<T>(op.dresidual);
  const auto count = static_cast<float>(hidden);
  for (std::int64_t t = begin; t < end; ++t) {
    const std::int64_t at = t * hidden;
    const float rstd = op.rstd.data<float>()[t];
    const float mean = op.mean ? op.mean.data<float>()[t] : 0.0F;
    open_row(op.dy.data<T>() + at, op.h.data<T>() + at, op.gain.data<T>(), rstd, mean, hidden, row);
    const float mean_product = sum_products(row.upstream, row.normalized, hidden) / count;
    const float mean_upstream =
        op.mean ? sum_products(row.upstream, nullptr, hidden) / count : 0.0F;
    close_row(row, rstd, mean_upstream, mean_product, dresidual ? dresidual + at : nullptr, hidden,
              op.dx.mutable_data<T>() + at);
  }
}

// gradient[begin, end) = (gradient +) the tiles' partial sums in tile order.
void sum_partials(const float* partials, std::int64_t tiles, std::int64_t stride,
                  std::int64_t begin, std::int64_t end, bool accumulate, float* gradient) {
  for_vectors(begin, end, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    FloatVec sum = zero();
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      sum = hn::Add(sum, load_n(partials + tile * stride + i, n));
    }
    if (accumulate) sum = hn::Add(load_n(gradient + i, n), sum);
    store_n(sum, gradient + i, n);
  });
}

}  // namespace

void norm_forward_rows(Stream& stream, const cpu::NormForward& op, std::int64_t begin,
                       std::int64_t end, int lane) {
  if (op.x.dtype() == DType::f32) {
    forward_rows<float>(stream, op, begin, end, lane);
  } else {
    forward_rows<BFloat16>(stream, op, begin, end, lane);
  }
}

void norm_backward_rows(Stream& stream, const cpu::NormBackward& op, float* partial,
                        std::int64_t begin, std::int64_t end, int lane) {
  if (op.h.dtype() == DType::f32) {
    backward_rows<float>(stream, op, partial, begin, end, lane);
  } else {
    backward_rows<BFloat16>(stream, op, partial, begin, end, lane);
  }
}

void norm_sum_partials(const cpu::NormBackward& op, const float* partials, std::int64_t begin,
                       std::int64_t end) {
  const std::int64_t hidden = op.h.dim(1);
  const std::int64_t tiles = ceil_div(op.h.dim(0), cpu::norm_tile);
  if (op.dgain) {
    sum_partials(partials, tiles, 2 * hidden, begin, end, op.accumulate,
                 op.dgain.mutable_data<float>());
  }
  if (op.dbias) {
    sum_partials(partials + hidden, tiles, 2 * hidden, begin, end, op.accumulate,
                 op.dbias.mutable_data<float>());
  }
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

HWY_EXPORT(norm_forward_rows);
HWY_EXPORT(norm_backward_rows);
HWY_EXPORT(norm_sum_partials);

namespace cpu {

namespace {
constexpr std::int64_t column_tile = 128;
}

void norm_forward(Stream& stream, const NormForward& op) {
  for_tiles(stream, op.x.dim(0), norm_tile, [&](std::int64_t begin, std::int64_t end, int lane) {
    HWY_DYNAMIC_DISPATCH(norm_forward_rows)(stream, op, begin, end, lane);
  });
}

void norm_backward(Stream& stream, const NormBackward& op) {
  const std::int64_t tokens = op.h.dim(0);
  const std::int64_t hidden = op.h.dim(1);
  Tensor partials = stream.allocate(
      DType::f32, {std::max<std::int64_t>(1, ceil_div(tokens, norm_tile)), 2 * hidden});
  float* const sums = partials.mutable_data<float>();
  for_tiles(stream, tokens, norm_tile, [&](std::int64_t begin, std::int64_t end, int lane) {
    HWY_DYNAMIC_DISPATCH(norm_backward_rows)
    (stream, op, sums + begin / norm_tile * 2 * hidden, begin, end, lane);
  });
  if (!op.dgain && !op.dbias) return;
  for_tiles(stream, hidden, column_tile, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(norm_sum_partials)(op, sums, begin, end);
  });
}

}  // namespace cpu
}  // namespace collie::kernels
#endif
