#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cross_entropy_impl.hpp"
#include "kernels/dispatch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cross_entropy_cpu.cpp"
#include "kernels/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {

namespace {

constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

// Max and sum of exponentials of one row. A NaN anywhere makes the sum a NaN.
template <class T>
cpu::SoftmaxStats row_stats(const T* row, std::int64_t width) {
  FloatVec max_v = splat(minus_infinity);
  for_vectors(0, width, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    FloatVec value = load_n(row + i, n);
    if (n < lanes) value = hn::IfThenElse(first_lanes(n), value, splat(minus_infinity));
    max_v = hn::Max(max_v, value);
  });
  const float max = max_lanes(max_v);
  // Where all logits are -inf nothing is subtracted, so that the sum is 0 and not a NaN.
  const FloatVec shift = splat(max == minus_infinity ? 0.0F : max);
  constexpr std::int64_t block = 2048;
  double sum = 0.0;
  for (std::int64_t begin = 0; begin < width; begin += block) {
    FloatVec sum_v = zero();
    for_vectors(begin, std::min(width, begin + block),
                [&](std::int64_t i, std::int64_t n) HWY_ATTR {
                  FloatVec e = exp_of_negative(hn::Sub(load_n(row + i, n), shift));
                  if (n < lanes) e = hn::IfThenElseZero(first_lanes(n), e);
                  sum_v = hn::Add(sum_v, e);
                });
    sum += double{sum_lanes(sum_v)};
  }
  return {max, static_cast<float>(sum), 0.0F};
}

template <class T>
void stats_rows(const T* logits, std::int64_t width, const std::int32_t* labels,
                std::int64_t vocabulary_begin, cpu::SoftmaxStats* stats, std::int64_t begin,
                std::int64_t end) {
  for (std::int64_t token = begin; token < end; ++token) {
    if (labels[token] < 0) {
      stats[token] = {0.0F, 1.0F, 0.0F};  // ignored: neutral, and its logits are not even read
      continue;
    }
    const T* row = logits + token * width;
    stats[token] = row_stats(row, width);
    const std::int64_t label = labels[token] - vocabulary_begin;
    if (label >= 0 && label < width) stats[token].label = static_cast<float>(row[label]);
  }
}

template <class T>
void backward_row(T* row, std::int64_t width, std::int64_t label, const cpu::SoftmaxStats& stats,
                  float scale) {
  const bool here = label >= 0 && label < width;
  const float label_logit = here ? static_cast<float>(row[label]) : 0.0F;
  const FloatVec factor = splat(scale / stats.sum);
  const FloatVec shift = splat(stats.max);
  for_vectors(0, width, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    store_n(hn::Mul(exp_of_negative(hn::Sub(load_n(row + i, n), shift)), factor), row + i, n);
  });
  if (here) {
    const double probability = std::exp(double{label_logit} - double{stats.max}) / stats.sum;
    row[label] = T(static_cast<float>((probability - 1.0) * scale));
  }
}

template <class T>
void backward_rows(T* logits, std::int64_t width, const std::int32_t* labels,
                   std::int64_t vocabulary_begin, const cpu::SoftmaxStats* stats, float scale,
                   std::int64_t begin, std::int64_t end) {
  for (std::int64_t token = begin; token < end; ++token) {
    T* row = logits + token * width;
    if (labels[token] < 0) {
      std::fill_n(row, width, T(0.0F));
    } else {
      backward_row(row, width, labels[token] - vocabulary_begin, stats[token], scale);
    }
  }
}

}  // namespace

void stats_range(const Tensor& logits_cv, const std::int32_t* labels, std::int64_t vocabulary_begin,
                 cpu::SoftmaxStats* stats, std::int64_t begin, std::int64_t end) {
  const std::int64_t width = logits_cv.dim(1);
  if (logits_cv.dtype() == DType::f32) {
    stats_rows(logits_cv.data<float>(), width, labels, vocabulary_begin, stats, begin, end);
  } else {
    stats_rows(logits_cv.data<BFloat16>(), width, labels, vocabulary_begin, stats, begin, end);
  }
}

void backward_range(Tensor& logits_cv, const std::int32_t* labels, std::int64_t vocabulary_begin,
                    const cpu::SoftmaxStats* stats, float scale, std::int64_t begin,
                    std::int64_t end) {
  const std::int64_t width = logits_cv.dim(1);
  if (logits_cv.dtype() == DType::f32) {
    backward_rows(logits_cv.mutable_data<float>(), width, labels, vocabulary_begin, stats, scale,
                  begin, end);
  } else {
    backward_rows(logits_cv.mutable_data<BFloat16>(), width, labels, vocabulary_begin, stats, scale,
                  begin, end);
  }
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

HWY_EXPORT(stats_range);
HWY_EXPORT(backward_range);

namespace cpu {

namespace {

std::int64_t rows_per_task(const Tensor& logits_cv) {
  return std::max<std::int64_t>(1, 2 * flat_tile / logits_cv.dim(1));
}

const SoftmaxStats* stats_of(const Tensor& stats_c3) {
  return reinterpret_cast<const SoftmaxStats*>(stats_c3.data<float>());
}
SoftmaxStats* mutable_stats_of(Tensor& stats_c3) {
  return reinterpret_cast<SoftmaxStats*>(stats_c3.mutable_data<float>());
}

// Streaming softmax: sums relative to different maxima are brought to the common one.
SoftmaxStats combine(std::span<const Tensor> parts_c3, std::int64_t token) {
  SoftmaxStats all{-std::numeric_limits<float>::infinity(), 0.0F, 0.0F};
  for (const Tensor& part : parts_c3) all.max = std::max(all.max, stats_of(part)[token].max);
  double sum = 0.0;
  for (const Tensor& part : parts_c3) {
    const SoftmaxStats& stats = stats_of(part)[token];
    all.label += stats.label;
    if (stats.sum != 0.0F) sum += stats.sum * std::exp(double{stats.max} - double{all.max});
  }
  all.sum = static_cast<float>(sum);
  return all;
}

}  // namespace

void cross_entropy_stats(Stream& stream, const Tensor& logits_cv, const Tensor& labels_c,
                         std::int64_t vocabulary_begin, Tensor& stats_c3) {
  const std::int32_t* labels = labels_c.data<std::int32_t>();
  SoftmaxStats* stats = mutable_stats_of(stats_c3);
  for_tiles(stream, logits_cv.dim(0), rows_per_task(logits_cv),
            [&](std::int64_t begin, std::int64_t end, int) {
              HWY_DYNAMIC_DISPATCH(stats_range)
              (logits_cv, labels, vocabulary_begin, stats, begin, end);
            });
}

void cross_entropy_combine(Stream& stream, std::span<const Tensor> parts_c3, Tensor& stats_c3) {
  SoftmaxStats* stats = mutable_stats_of(stats_c3);
  for_tiles(stream, stats_c3.dim(0), 1024, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t token = begin; token < end; ++token) stats[token] = combine(parts_c3, token);
  });
}

void cross_entropy_backward(Stream& stream, Tensor& logits_cv, const Tensor& labels_c,
                            std::int64_t vocabulary_begin, const Tensor& stats_c3, float scale) {
  const std::int32_t* labels = labels_c.data<std::int32_t>();
  const SoftmaxStats* stats = stats_of(stats_c3);
  for_tiles(stream, logits_cv.dim(0), rows_per_task(logits_cv),
            [&](std::int64_t begin, std::int64_t end, int) {
              HWY_DYNAMIC_DISPATCH(backward_range)
              (logits_cv, labels, vocabulary_begin, stats, scale, begin, end);
            });
}

void cross_entropy_losses(Stream& stream, const Tensor& labels_c, const Tensor& stats_c3,
                          Tensor& losses_c) {
  const std::int32_t* labels = labels_c.data<std::int32_t>();
  const SoftmaxStats* stats = stats_of(stats_c3);
  float* losses = losses_c.mutable_data<float>();
  for_tiles(stream, labels_c.dim(0), 1024, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t token = begin; token < end; ++token) {
      const SoftmaxStats& row = stats[token];
      const double loss = std::log(double{row.sum}) + double{row.max} - double{row.label};
      losses[token] = labels[token] < 0 ? 0.0F : static_cast<float>(loss);
    }
  });
}

}  // namespace cpu
}  // namespace collie::kernels
#endif
