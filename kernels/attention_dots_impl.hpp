// Internal: products of bf16 with f32 sums for processors with AVX512-BF16, compiled for Highway's
// AVX3 target alone. A unit is two bf16 that follow each other along the reduction, the earlier
// one in the low half.
#if defined(COLLIE_KERNELS_ATTENTION_DOTS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef COLLIE_KERNELS_ATTENTION_DOTS_INL
#undef COLLIE_KERNELS_ATTENTION_DOTS_INL
#else
#define COLLIE_KERNELS_ATTENTION_DOTS_INL
#endif

#include "kernels/attention_blocks_impl.hpp"

#if HWY_TARGET == HWY_AVX3

// Highway 1.0 has no target with these instructions: code between the two runs only after
// `has_bf16_dots`.
#define COLLIE_BEFORE_BF16_DOTS HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512bf16")
#define COLLIE_AFTER_BF16_DOTS HWY_POP_ATTRIBUTES

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {

inline bool has_bf16_dots() {
  static const bool supported = __builtin_cpu_supports("avx512bf16") != 0;
  return supported;
}

// Pairs must not straddle heads. Heads below 32 would leave half of a vector empty, and their short
// sums would feel that weights are rounded: they keep the float32 form.
inline bool takes_bf16_dots(std::int64_t head_dim) {
  return has_bf16_dots() && head_dim % 2 == 0 && head_dim >= 32;
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

COLLIE_BEFORE_BF16_DOTS
namespace collie::kernels::HWY_NAMESPACE {

// c[m,n] = factor * a[m,k] b[k,n], or c += a b; k and distances of a and b in units. Unit (i, p)
// of a is at i * lda + p, or, in a transposed product, at p * lda + i.
struct DotProduct {
  const BFloat16* a;
  std::int64_t lda;
  const BFloat16* b;
  std::int64_t ldb;
  float* c;
  std::int64_t ldc;
  std::int64_t m, n, k;
  bool accumulate;
  float factor = 1.0F;
};

HWY_INLINE __m512i splat_unit(const BFloat16* from) {
  std::int32_t unit;
  std::memcpy(&unit, from, sizeof(unit));
  return _mm512_set1_epi32(unit);
}

template <bool Transposed, int Rows, int Vectors>
HWY_NOINLINE void dot_tile(const DotProduct& product, const BFloat16* a, const BFloat16* b,
                           float* c) {
  __m512 sum[Rows][Vectors];
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) sum[i][v] = _mm512_setzero_ps();
  }
  const std::int64_t lda = 2 * product.lda;
  for (std::int64_t p = 0; p < product.k; ++p) {
    __m512bh right[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      right[v] = (__m512bh)_mm512_loadu_si512(b + 2 * v * lanes);
    }
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) {
      const auto left = (__m512bh)splat_unit(Transposed ? a + 2 * i : a + i * lda);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[i][v] = _mm512_dpbf16_ps(sum[i][v], left, right[v]);
    }
    a += Transposed ? lda : 2;
    b += 2 * product.ldb;
  }
  const __m512 factor = _mm512_set1_ps(product.factor);
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      float* const to = c + i * product.ldc + v * lanes;
      _mm512_storeu_ps(to, product.accumulate ? _mm512_add_ps(_mm512_loadu_ps(to), sum[i][v])
                                              : _mm512_mul_ps(factor, sum[i][v]));
    }
  }
}

template <bool Transposed, int Vectors>
HWY_INLINE void dot_columns(const DotProduct& product, std::int64_t column) {
  using Tile = void (*)(const DotProduct&, const BFloat16*, const BFloat16*, float*);
  constexpr Tile tiles[tile_rows] = {
      dot_tile<Transposed, 1, Vectors>, dot_tile<Transposed, 2, Vectors>,
      dot_tile<Transposed, 3, Vectors>, dot_tile<Transposed, 4, Vectors>,
      dot_tile<Transposed, 5, Vectors>, dot_tile<Transposed, 6, Vectors>};
  for (std::int64_t row = 0; row < product.m; row += tile_rows) {
    const std::int64_t rows = std::min<std::int64_t>(tile_rows, product.m - row);
    tiles[rows - 1](product, product.a + 2 * (Transposed ? row : row * product.lda),
                    product.b + 2 * column, product.c + row * product.ldc + column);
  }
}

template <bool Transposed>
HWY_NOINLINE void multiply_dots(const DotProduct& product) {
  std::int64_t column = 0;
  for (; column + 4 * lanes <= product.n; column += 4 * lanes) {
    dot_columns<Transposed, 4>(product, column);
  }
  for (; column + 2 * lanes <= product.n; column += 2 * lanes) {
    dot_columns<Transposed, 2>(product, column);
  }
  for (; column < product.n; column += lanes) dot_columns<Transposed, 1>(product, column);
}

// The two rows as units.
HWY_INLINE __m512i units_of(FloatVec even, FloatVec odd) {
  const auto halves = (__m512i)_mm512_cvtne2ps_pbh(odd.raw, even.raw);
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, halves);
}

// to[rows / 2][ld] units of neighbouring rows of from[rows, columns], zero where it has ended.
inline HWY_NOINLINE void pair_rows(const BFloat16* from, std::int64_t stride, std::int64_t rows,
                                   std::int64_t columns, std::int64_t ld, BFloat16* to) {
  for (std::int64_t row = 0; row < rows; row += 2, from += 2 * stride) {
    for (std::int64_t column = 0; column < ld; column += lanes, to += 2 * lanes) {
      const std::int64_t count = std::clamp<std::int64_t>(columns - column, 0, lanes);
      const auto mask = static_cast<__mmask16>((1U << count) - 1);
      const auto other = static_cast<__mmask16>(row + 1 < rows ? mask : 0);
      const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from + column));
      const __m512i high =
          _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(other, from + stride + column));
      _mm512_storeu_si512(to, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
  }
}

// row[i] lane j <-> row[j] lane i.
HWY_INLINE void transpose_units(__m512i (&row)[16]) {
  __m512i pairs[16];
  __m512i quads[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 4) {
    quads[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
    quads[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
    quads[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
    quads[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 4; ++i) {
    const __m512i low_even = _mm512_shuffle_i32x4(quads[i], quads[i + 4], 0x88);
    const __m512i low_odd = _mm512_shuffle_i32x4(quads[i], quads[i + 4], 0xdd);
    const __m512i high_even = _mm512_shuffle_i32x4(quads[i + 8], quads[i + 12], 0x88);
    const __m512i high_odd = _mm512_shuffle_i32x4(quads[i + 8], quads[i + 12], 0xdd);
    row[i] = _mm512_shuffle_i32x4(low_even, high_even, 0x88);
    row[i + 4] = _mm512_shuffle_i32x4(low_odd, high_odd, 0x88);
    row[i + 8] = _mm512_shuffle_i32x4(low_even, high_even, 0xdd);
    row[i + 12] = _mm512_shuffle_i32x4(low_odd, high_odd, 0xdd);
  }
}

// to[units][block_size] = from[count][units] transposed, zero from row `count` on.
inline HWY_NOINLINE void transpose_rows(const BFloat16* from, std::int64_t stride,
                                        std::int64_t count, std::int64_t units, BFloat16* to) {
  for (std::int64_t unit = 0; unit < units; unit += lanes) {
    const std::int64_t width = std::min(lanes, units - unit);
    const auto mask = static_cast<__mmask16>((1U << width) - 1);
    for (std::int64_t q = 0; q < block_size; q += lanes) {
      __m512i row[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        row[i] = q + i < count ? _mm512_maskz_loadu_epi32(mask, from + (q + i) * stride + 2 * unit)
                               : _mm512_setzero_si512();
      }
      transpose_units(row);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        if (i < width) _mm512_storeu_si512(to + 2 * ((unit + i) * block_size + q), row[i]);
      }
    }
  }
}

// scores_t[keys, queries] = factor * rows[keys, K] queries_t; see multiply_scores for the trim.
HWY_INLINE void dot_scores(const BFloat16* rows, std::int64_t stride, const BFloat16* queries_t,
                           std::int64_t units, std::int64_t key_count, bool diagonal, float factor,
                           float* scores_t) {
  DotProduct product{rows,      stride / 2, queries_t, block_size, scores_t, block_size,
                     key_count, block_size, units,     false,      factor};
  if (diagonal && key_count > half_block) {
    product.m = half_block;
    multiply_dots<false>(product);
    product.a += half_block * stride;
    product.b += 2 * half_block;
    product.c += half_block * block_size + half_block;
    product.m = key_count - half_block;
    product.n = half_block;
  }
  multiply_dots<false>(product);
}

// out[queries, ld] (+)= weights[queries, keys] rows[keys, ld]; units are pairs of keys.
HWY_INLINE void dot_values(const BFloat16* weights, const BFloat16* rows, std::int64_t ld,
                           std::int64_t key_count, std::int64_t count, bool diagonal,
                           bool accumulate, float* out) {
  DotProduct product{weights, block_size,          rows,      ld, out, ld, count,
                     ld,      (key_count + 1) / 2, accumulate};
  if (diagonal && key_count > half_block) {
    product.m = half_block;
    product.k = half_block / 2;
    multiply_dots<true>(product);
    product.a += 2 * half_block;
    product.c += half_block * ld;
    product.m = count - half_block;
    product.k = (key_count + 1) / 2;
  }
  multiply_dots<true>(product);
}

}  // namespace collie::kernels::HWY_NAMESPACE
COLLIE_AFTER_BF16_DOTS

#endif  // HWY_AVX3
#endif  // per-target toggle
