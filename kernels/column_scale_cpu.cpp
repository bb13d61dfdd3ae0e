#include <cmath>

#include "kernels/column_scale_impl.hpp"
#include "kernels/dispatch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/column_scale_cpu.cpp"
#include "kernels/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {
namespace {

template <class T>
HWY_FLATTEN void scale_rows(const Tensor& x, const float* factors, const T* bias, Tensor& out,
                            std::int64_t begin, std::int64_t end) {
  const std::int64_t width = x.dim(1);
  for (std::int64_t t = begin; t < end; ++t) {
    const T* const from = x.data<T>() + t * width;
    T* const to = out.mutable_data<T>() + t * width;
    for_vectors(0, width, [&](std::int64_t i, std::int64_t count) HWY_ATTR {
      const FloatVec added = bias == nullptr ? zero() : load_n(bias + i, count);
      store_n(hn::MulAdd(load_n(from + i, count), load_n(factors + i, count), added), to + i,
              count);
    });
  }
}

// sums[n] for n in [begin, end): tokens in order, so the cut does not matter.
template <class T>
HWY_FLATTEN void dot_columns(const Tensor& a, std::int64_t column, const Tensor& b, float* sums,
                             std::int64_t begin, std::int64_t end) {
  const std::int64_t a_width = a.dim(1), b_width = b.dim(1);
  for_vectors(begin, end, [&](std::int64_t i, std::int64_t count) HWY_ATTR {
    FloatVec sum = zero();
    for (std::int64_t t = 0; t < a.dim(0); ++t) {
      sum = hn::MulAdd(load_n(a.data<T>() + t * a_width + column + i, count),
                       load_n(b.data<T>() + t * b_width + i, count), sum);
    }
    store_n(sum, sums + i, count);
  });
}

// a: from its first row on; ranks 0: the weight alone.
template <class T>
HWY_FLATTEN float square_row(const T* w, const T* a, const T* b, std::int64_t ranks,
                             std::int64_t width, float scale) {
  FloatVec sum = zero();
  for_vectors(0, width, [&](std::int64_t i, std::int64_t count) HWY_ATTR {
    FloatVec value = load_n(w + i, count);
    for (std::int64_t r = 0; r < ranks; ++r) {
      const FloatVec factor = splat(scale * static_cast<float>(b[r]));
      value = hn::MulAdd(factor, load_n(a + r * width + i, count), value);
    }
    sum = hn::MulAdd(value, value, sum);
  });
  return sum_lanes(sum);
}

template <class T>
void square_rows(const Tensor& w, const Tensor& a, const Tensor& b, const LowRankPlace& place,
                 float* squares, std::int64_t begin, std::int64_t end) {
  const std::int64_t width = w.dim(1), ranks = b ? b.dim(1) : 0;
  const T* const first_a = b ? a.data<T>() + place.rank_begin * width : nullptr;
  for (std::int64_t n = begin; n < end; ++n) {
    squares[n] = square_row(w.data<T>() + n * width, first_a, b ? b.data<T>() + n * ranks : nullptr,
                            ranks, width, place.scale);
  }
}

}  // namespace

void scale_columns_tile(const Tensor& x, const float* factors, const Tensor& bias, Tensor& out,
                        std::int64_t begin, std::int64_t end) {
  if (x.dtype() == DType::f32) {
    scale_rows(x, factors, bias ? bias.data<float>() : nullptr, out, begin, end);
  } else {
    scale_rows(x, factors, bias ? bias.data<BFloat16>() : nullptr, out, begin, end);
  }
}

void column_dots_tile(const Tensor& a, std::int64_t column, const Tensor& b, float* sums,
                      std::int64_t begin, std::int64_t end) {
  const auto run = a.dtype() == DType::f32 ? dot_columns<float> : dot_columns<BFloat16>;
  run(a, column, b, sums, begin, end);
}

void row_squares_tile(const Tensor& w, const Tensor& a, const Tensor& b, const LowRankPlace& place,
                      float* squares, std::int64_t begin, std::int64_t end) {
  const auto run = w.dtype() == DType::f32 ? square_rows<float> : square_rows<BFloat16>;
  run(w, a, b, place, squares, begin, end);
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {
HWY_EXPORT(scale_columns_tile);
HWY_EXPORT(column_dots_tile);
HWY_EXPORT(row_squares_tile);
}  // namespace collie::kernels

namespace collie::kernels::cpu {

namespace {

constexpr std::int64_t token_tile = 64;
constexpr std::int64_t column_tile = 128;
constexpr std::int64_t row_tile = 32;

float element(const Tensor& tensor, std::int64_t index) {
  if (tensor.dtype() == DType::f32) return tensor.data<float>()[index];
  return static_cast<float>(tensor.data<BFloat16>()[index]);
}

}  // namespace

void place_factors(const Tensor& values, std::int64_t column, const Tensor& inverse_m,
                   Tensor& factors_m) {
  float* const factors = factors_m.mutable_data<float>() + column;
  for (std::int64_t n = 0; n < values.element_count(); ++n) {
    const float inverse = inverse_m ? inverse_m.data<float>()[column + n] : 1.0F;
    factors[n] = element(values, n) * inverse;
  }
}

void fill_ones(Tensor& x) {
  std::fill_n(x.mutable_data<float>(), x.element_count(), 1.0F);
}

void scale_columns(Stream& stream, const Tensor& x_tm, const Tensor& factors_m,
                   const Tensor& bias_m, Tensor& out_tm) {
  const float* const factors = factors_m.data<float>();
  for_tiles(stream, x_tm.dim(0), token_tile, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(scale_columns_tile)(x_tm, factors, bias_m, out_tm, begin, end);
  });
}

void column_dots(Stream& stream, const Tensor& a_tm, std::int64_t column, const Tensor& b_tn,
                 const Tensor& inverse_m, Tensor& d, bool accumulate) {
  const std::int64_t count = b_tn.dim(1);
  Tensor sums_n = stream.allocate(DType::f32, {count});
  float* const sums = sums_n.mutable_data<float>();
  float* const out = d.mutable_data<float>();
  for_tiles(stream, count, column_tile, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(column_dots_tile)(a_tm, column, b_tn, sums, begin, end);
    for (std::int64_t n = begin; n < end; ++n) {
      const float inverse = inverse_m ? inverse_m.data<float>()[column + n] : 1.0F;
      out[n] = (accumulate ? out[n] : 0.0F) + inverse * sums[n];
    }
  });
}

void row_squares(Stream& stream, const Tensor& w_nk, const Tensor& a_uk, const Tensor& b_nr,
                 const LowRankPlace& place, Tensor& squares_m) {
  float* const squares = squares_m.mutable_data<float>() + place.column;
  for_tiles(stream, w_nk.dim(0), row_tile, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(row_squares_tile)(w_nk, a_uk, b_nr, place, squares, begin, end);
  });
}

void inverse_roots(const Tensor& squares_m, Tensor& inverse_m) {
  for (std::int64_t m = 0; m < squares_m.element_count(); ++m) {
    const float square = squares_m.data<float>()[m];
    inverse_m.mutable_data<float>()[m] = square > 0.0F ? 1.0F / std::sqrt(square) : 0.0F;
  }
}

}  // namespace collie::kernels::cpu
#endif
