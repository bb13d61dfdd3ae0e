// Both operands of few columns are first packed into float32, b transposed, and padded with zeros
// to a multiple of `low_rank_block` columns: the loops then run over whole blocks with the wide
// side in vectors.
#include "kernels/dispatch.hpp"
#include "kernels/low_rank_impl.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/low_rank_cpu.cpp"
#include "kernels/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {
namespace {

// y[n] += sum over r of u[r] bt[r, n], for one token.
template <class T>
HWY_FLATTEN void expand_rows(const float* u, std::int64_t ranks, const float* bt, std::int64_t n,
                             T* y, std::int64_t y_stride, std::int64_t begin, std::int64_t end) {
  for (std::int64_t t = begin; t < end; ++t) {
    const float* const u_row = u + t * ranks;
    T* const y_row = y + t * y_stride;
    for_vectors(0, n, [&](std::int64_t i, std::int64_t count) HWY_ATTR {
      FloatVec sum = load_n(y_row + i, count);
      for (std::int64_t r = 0; r < ranks; ++r) {
        sum = hn::MulAdd(splat(u_row[r]), load_n(bt + r * n + i, count), sum);
      }
      store_n(sum, y_row + i, count);
    });
  }
}

// g[t, r] = sum over n of dy[t, n] bt[r, n].
template <class T>
HWY_FLATTEN void reduce_rows(const T* dy, std::int64_t dy_stride, const float* bt,
                             std::int64_t ranks, std::int64_t n, float* g, std::int64_t begin,
                             std::int64_t end) {
  for (std::int64_t t = begin; t < end; ++t) {
    for (std::int64_t r = 0; r < ranks; r += low_rank_block) {
      FloatVec sums[low_rank_block] = {zero(), zero(), zero(), zero()};
      for_vectors(0, n, [&](std::int64_t i, std::int64_t count) HWY_ATTR {
        const FloatVec gradient = load_n(dy + t * dy_stride + i, count);
        for (std::int64_t k = 0; k < low_rank_block; ++k) {
          sums[k] = hn::MulAdd(gradient, load_n(bt + (r + k) * n + i, count), sums[k]);
        }
      });
      for (std::int64_t k = 0; k < low_rank_block; ++k) g[t * ranks + r + k] = sum_lanes(sums[k]);
    }
  }
}

// dbt[k, n] = sum over t of u[t, k] dy[t, n] for `at_once` k and `vectors` vectors of n, of which
// the last is of `count` elements.
template <int at_once, int vectors, class T>
HWY_INLINE void weight_block(const T* dy, std::int64_t dy_stride, const float* u,
                             std::int64_t ranks, std::int64_t tokens, std::int64_t n,
                             std::int64_t count, float* dbt) {
  FloatVec sums[at_once * vectors];
  for (FloatVec& sum : sums) sum = zero();
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (int v = 0; v < vectors; ++v) {
      const FloatVec gradient = load_n(dy + t * dy_stride + v * lanes, count);
      for (int k = 0; k < at_once; ++k) {
        FloatVec& sum = sums[v * at_once + k];
        sum = hn::MulAdd(splat(u[t * ranks + k]), gradient, sum);
      }
    }
  }
  for (int v = 0; v < vectors; ++v) {
    for (int k = 0; k < at_once; ++k) {
      store_n(sums[v * at_once + k], dbt + k * n + v * lanes, count);
    }
  }
}

template <int vectors, class T>
HWY_INLINE void weight_ranks(const T* dy, std::int64_t dy_stride, const float* u,
                             std::int64_t ranks, std::int64_t tokens, std::int64_t n,
                             std::int64_t count, float* dbt) {
  constexpr int wide = 2 * low_rank_block;
  std::int64_t r = 0;
  for (; r + wide <= ranks; r += wide) {
    weight_block<wide, vectors>(dy, dy_stride, u + r, ranks, tokens, n, count, dbt + r * n);
  }
  if (r == ranks) return;
  weight_block<low_rank_block, vectors>(dy, dy_stride, u + r, ranks, tokens, n, count, dbt + r * n);
}

// dbt[r, n] = sum over t of u[t, r] dy[t, n], for columns [begin, end) of n. A walk down the tokens
// reads a line of dy each, far from the one before, so it takes as many sums along as registers
// hold; their order is that of the tokens, however many go together.
template <class T>
HWY_FLATTEN void weight_columns(const T* dy, std::int64_t dy_stride, const float* u,
                                std::int64_t ranks, std::int64_t tokens, std::int64_t n, float* dbt,
                                std::int64_t begin, std::int64_t end) {
  std::int64_t i = begin;
  for (; i + 2 * lanes <= end; i += 2 * lanes) {
    weight_ranks<2>(dy + i, dy_stride, u, ranks, tokens, n, lanes, dbt + i);
  }
  for_vectors(i, end, [&](std::int64_t at, std::int64_t count) HWY_ATTR {
    weight_ranks<1>(dy + at, dy_stride, u, ranks, tokens, n, count, dbt + at);
  });
}

}  // namespace

void low_rank_expand_tile(const float* u, std::int64_t ranks, const float* bt, std::int64_t n,
                          Tensor& y_tm, std::int64_t column, std::int64_t begin, std::int64_t end) {
  const std::int64_t stride = y_tm.dim(1);
  if (y_tm.dtype() == DType::f32) {
    expand_rows(u, ranks, bt, n, y_tm.mutable_data<float>() + column, stride, begin, end);
  } else {
    expand_rows(u, ranks, bt, n, y_tm.mutable_data<BFloat16>() + column, stride, begin, end);
  }
}

void low_rank_reduce_tile(const Tensor& dy_tm, std::int64_t column, const float* bt,
                          std::int64_t ranks, std::int64_t n, float* g, std::int64_t begin,
                          std::int64_t end) {
  const std::int64_t stride = dy_tm.dim(1);
  if (dy_tm.dtype() == DType::f32) {
    reduce_rows(dy_tm.data<float>() + column, stride, bt, ranks, n, g, begin, end);
  } else {
    reduce_rows(dy_tm.data<BFloat16>() + column, stride, bt, ranks, n, g, begin, end);
  }
}

void low_rank_weight_tile(const Tensor& dy_tm, std::int64_t column, const float* u,
                          std::int64_t ranks, std::int64_t n, float* dbt, std::int64_t begin,
                          std::int64_t end) {
  const std::int64_t stride = dy_tm.dim(1);
  const std::int64_t tokens = dy_tm.dim(0);
  if (dy_tm.dtype() == DType::f32) {
    weight_columns(dy_tm.data<float>() + column, stride, u, ranks, tokens, n, dbt, begin, end);
  } else {
    weight_columns(dy_tm.data<BFloat16>() + column, stride, u, ranks, tokens, n, dbt, begin, end);
  }
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {
HWY_EXPORT(low_rank_expand_tile);
HWY_EXPORT(low_rank_reduce_tile);
HWY_EXPORT(low_rank_weight_tile);
}  // namespace collie::kernels

namespace collie::kernels::cpu {

namespace {

constexpr std::int64_t token_tile = 64;
constexpr std::int64_t column_tile = 128;

std::int64_t padded(std::int64_t ranks) {
  return ceil_div(ranks, low_rank_block) * low_rank_block;
}

template <class T>
float widened(const Tensor& tensor, std::int64_t index) {
  return static_cast<float>(tensor.data<T>()[index]);
}
float at(const Tensor& tensor, std::int64_t index) {
  return tensor.dtype() == DType::f32 ? widened<float>(tensor, index)
                                      : widened<BFloat16>(tensor, index);
}

// scale * u[:, rank_begin ...]: [T, padded R].
Tensor packed(Stream& stream, const Tensor& u_tu, const LowRankPlace& place, std::int64_t ranks) {
  const std::int64_t width = padded(ranks);
  Tensor out = stream.allocate(DType::f32, {u_tu.dim(0), width});
  float* data = out.mutable_data<float>();
  for_tiles(stream, u_tu.dim(0), token_tile, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t first = t * u_tu.dim(1) + place.rank_begin;
      for (std::int64_t r = 0; r < width; ++r) {
        data[t * width + r] = r < ranks ? place.scale * at(u_tu, first + r) : 0.0F;
      }
    }
  });
  return out;
}

// b transposed: [padded R, N].
Tensor transposed(Stream& stream, const Tensor& b_nr) {
  const std::int64_t n = b_nr.dim(0), ranks = b_nr.dim(1), width = padded(ranks);
  Tensor out = stream.allocate(DType::f32, {width, n});
  float* data = out.mutable_data<float>();
  for_tiles(stream, n, column_tile, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = 0; r < width; ++r) {
      for (std::int64_t i = begin; i < end; ++i) {
        data[r * n + i] = r < ranks ? at(b_nr, i * ranks + r) : 0.0F;
      }
    }
  });
  return out;
}

template <class T>
void scatter(const float* g, std::int64_t width, std::int64_t ranks, const LowRankPlace& place,
             Tensor& g_tu, bool accumulate) {
  T* out = g_tu.mutable_data<T>();
  for (std::int64_t t = 0; t < g_tu.dim(0); ++t) {
    for (std::int64_t r = 0; r < ranks; ++r) {
      T& target = out[t * g_tu.dim(1) + place.rank_begin + r];
      const float before = accumulate ? static_cast<float>(target) : 0.0F;
      target = T(before + place.scale * g[t * width + r]);
    }
  }
}

}  // namespace

void low_rank_expand(Stream& stream, const Tensor& u_tu, const Tensor& b_nr,
                     const LowRankPlace& place, Tensor& y_tm) {
  const Tensor u = packed(stream, u_tu, place, b_nr.dim(1));
  const Tensor bt = transposed(stream, b_nr);
  for_tiles(stream, y_tm.dim(0), token_tile, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(low_rank_expand_tile)
    (u.data<float>(), u.dim(1), bt.data<float>(), b_nr.dim(0), y_tm, place.column, begin, end);
  });
}

void low_rank_reduce(Stream& stream, const Tensor& dy_tm, const Tensor& b_nr,
                     const LowRankPlace& place, Tensor& g_tu, bool accumulate) {
  const Tensor bt = transposed(stream, b_nr);
  Tensor g = stream.allocate(DType::f32, {dy_tm.dim(0), bt.dim(0)});
  float* sums = g.mutable_data<float>();
  for_tiles(stream, dy_tm.dim(0), token_tile, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(low_rank_reduce_tile)
    (dy_tm, place.column, bt.data<float>(), bt.dim(0), b_nr.dim(0), sums, begin, end);
  });
  const bool is_f32 = g_tu.dtype() == DType::f32;
  (is_f32 ? scatter<float> : scatter<BFloat16>)(sums, bt.dim(0), b_nr.dim(1), place, g_tu,
                                                accumulate);
}

void low_rank_weight(Stream& stream, const Tensor& dy_tm, const Tensor& u_tu,
                     const LowRankPlace& place, Tensor& db_nr, bool accumulate) {
  const std::int64_t n = db_nr.dim(0), ranks = db_nr.dim(1);
  const Tensor u = packed(stream, u_tu, place, ranks);
  Tensor dbt = stream.allocate(DType::f32, {u.dim(1), n});
  float* sums = dbt.mutable_data<float>();
  float* db = db_nr.mutable_data<float>();
  for_tiles(stream, n, column_tile, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(low_rank_weight_tile)
    (dy_tm, place.column, u.data<float>(), u.dim(1), n, sums, begin, end);
    for (std::int64_t i = begin; i < end; ++i) {
      for (std::int64_t r = 0; r < ranks; ++r) {
        float& out = db[i * ranks + r];
        out = (accumulate ? out : 0.0F) + sums[r * n + i];
      }
    }
  });
}

}  // namespace collie::kernels::cpu
#endif
