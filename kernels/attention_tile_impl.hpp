// Internal: small dense products in registers and the copies around them, compiled once per SIMD
// target. All operands are f32 in lane scratch; column counts are multiples of 16.
#if defined(COLLIE_KERNELS_ATTENTION_TILE_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef COLLIE_KERNELS_ATTENTION_TILE_INL
#undef COLLIE_KERNELS_ATTENTION_TILE_INL
#else
#define COLLIE_KERNELS_ATTENTION_TILE_INL
#endif

#include <algorithm>

#include "kernels/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {

// c[m,n] = (c +) a[m,k] b[k,n]. Element (i, p) of a is at a[i * lda + p], or, in a transposed
// product, at a[p * lda + i].
struct Product {
  const float* a;
  std::int64_t lda;
  const float* b;
  std::int64_t ldb;
  float* c;
  std::int64_t ldc;
  std::int64_t m, n, k;
  bool accumulate;
};

inline constexpr int tile_rows = 6;
// 24 accumulators of 32 registers with AVX-512, 12 of 16 otherwise.
inline constexpr int tile_vectors = lanes >= 16 ? 4 : 2;

template <bool Transposed, int Rows, int Vectors>
HWY_NOINLINE void product_tile(const float* HWY_RESTRICT a, std::int64_t lda,
                               const float* HWY_RESTRICT b, std::int64_t ldb, float* HWY_RESTRICT c,
                               std::int64_t ldc, std::int64_t k, bool accumulate) {
  FloatVec sum[Rows][Vectors];
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      sum[i][v] = accumulate ? load(c + i * ldc + v * lanes) : zero();
    }
  }
  for (std::int64_t p = 0; p < k; ++p) {
    FloatVec right[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) right[v] = load(b + v * lanes);
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) {
      const FloatVec left = splat(Transposed ? a[i] : a[i * lda]);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[i][v] = hn::MulAdd(left, right[v], sum[i][v]);
    }
    a += Transposed ? lda : 1;
    b += ldb;
  }
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) store(sum[i][v], c + i * ldc + v * lanes);
  }
}

template <bool Transposed, int Vectors>
HWY_INLINE void product_columns(const Product& product, std::int64_t column) {
  using Tile = void (*)(const float*, std::int64_t, const float*, std::int64_t, float*,
                        std::int64_t, std::int64_t, bool);
  constexpr Tile tiles[tile_rows] = {
      product_tile<Transposed, 1, Vectors>, product_tile<Transposed, 2, Vectors>,
      product_tile<Transposed, 3, Vectors>, product_tile<Transposed, 4, Vectors>,
      product_tile<Transposed, 5, Vectors>, product_tile<Transposed, 6, Vectors>};
  for (std::int64_t row = 0; row < product.m; row += tile_rows) {
    const std::int64_t rows = std::min<std::int64_t>(tile_rows, product.m - row);
    tiles[rows - 1](product.a + (Transposed ? row : row * product.lda), product.lda,
                    product.b + column, product.ldb, product.c + row * product.ldc + column,
                    product.ldc, product.k, product.accumulate);
  }
}

template <bool Transposed>
HWY_NOINLINE void multiply(const Product& product) {
  std::int64_t column = 0;
  for (; column + tile_vectors * lanes <= product.n; column += tile_vectors * lanes) {
    product_columns<Transposed, tile_vectors>(product, column);
  }
  if constexpr (tile_vectors > 2) {
    for (; column + 2 * lanes <= product.n; column += 2 * lanes) {
      product_columns<Transposed, 2>(product, column);
    }
  }
  for (; column < product.n; column += lanes) product_columns<Transposed, 1>(product, column);
}

// to[rows_padded, ld] = from[rows, columns] as f32, zero elsewhere.
template <class T>
HWY_INLINE void pack_rows(const T* from, std::int64_t stride, std::int64_t rows,
                          std::int64_t columns, float* to, std::int64_t ld,
                          std::int64_t rows_padded) {
  for (std::int64_t row = 0; row < rows; ++row, from += stride, to += ld) {
    std::int64_t column = 0;
    for (; column + lanes <= columns; column += lanes) store(load(from + column), to + column);
    if (column < columns) {
      store(load_partial(from + column, columns - column), to + column);
      column += lanes;
    }
    for (; column < ld; column += lanes) store(zero(), to + column);
  }
  for (std::int64_t i = rows * ld; i < rows_padded * ld; i += lanes, to += lanes) {
    store(zero(), to);
  }
}

template <class T>
HWY_INLINE void unpack_row(const float* from, T* to, std::int64_t columns, FloatVec factor) {
  std::int64_t column = 0;
  for (; column + lanes <= columns; column += lanes) {
    store(hn::Mul(load(from + column), factor), to + column);
  }
  if (column < columns) {
    store_partial(hn::Mul(load_partial(from + column, columns - column), factor), to + column,
                  columns - column);
  }
}

// to[columns, ld_to] = factor * transpose(from[rows, columns]); rows and columns multiples of 4.
HWY_INLINE void transpose(const float* HWY_RESTRICT from, std::int64_t ld_from, std::int64_t rows,
                          std::int64_t columns, float factor, float* HWY_RESTRICT to,
                          std::int64_t ld_to) {
#if HWY_TARGET == HWY_SCALAR
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) to[c * ld_to + r] = factor * from[r * ld_from + c];
  }
#else
  const hn::FixedTag<float, 4> d;
  const hn::FixedTag<double, 2> d64;
  const auto scale = hn::Set(d, factor);
  for (std::int64_t r = 0; r < rows; r += 4) {
    for (std::int64_t c = 0; c < columns; c += 4) {
      const float* in = from + r * ld_from + c;
      float* out = to + c * ld_to + r;
      const auto r0 = hn::Mul(scale, hn::LoadU(d, in));
      const auto r1 = hn::Mul(scale, hn::LoadU(d, in + ld_from));
      const auto r2 = hn::Mul(scale, hn::LoadU(d, in + 2 * ld_from));
      const auto r3 = hn::Mul(scale, hn::LoadU(d, in + 3 * ld_from));
      const auto low01 = hn::BitCast(d64, hn::InterleaveLower(d, r0, r1));
      const auto low23 = hn::BitCast(d64, hn::InterleaveLower(d, r2, r3));
      const auto high01 = hn::BitCast(d64, hn::InterleaveUpper(d, r0, r1));
      const auto high23 = hn::BitCast(d64, hn::InterleaveUpper(d, r2, r3));
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, low01, low23)), d, out);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, low01, low23)), d, out + ld_to);
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, high01, high23)), d, out + 2 * ld_to);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, high01, high23)), d, out + 3 * ld_to);
    }
  }
#endif
}

// 2^x for x <= 0 within 1 ulp; exactly 0 below -126.
HWY_INLINE FloatVec exp2_nonpositive(FloatVec x) {
  const FloatTag d;
  const hn::RebindToSigned<FloatTag> di;
  const FloatVec magic = splat(12582912.0F);         // 1.5 * 2^23: the sum's low bits are round(x)
  const auto underflow = hn::Lt(x, splat(-126.0F));  // false for a NaN, which stays one
  const FloatVec shifted = hn::Add(x, magic);
  const FloatVec f = hn::Sub(x, hn::Sub(shifted, magic));
  // Minimax on [-1/2, 1/2], relative error 2e-9 before rounding.
  FloatVec y = splat(0.00015345811821F);
  y = hn::MulAdd(y, f, splat(0.00133999312177F));
  y = hn::MulAdd(y, f, splat(0.00961848895779F));
  y = hn::MulAdd(y, f, splat(0.05550328776970F));
  y = hn::MulAdd(y, f, splat(0.24022646890628F));
  y = hn::MulAdd(y, f, splat(0.69314720573727F));
  y = hn::MulAdd(y, f, splat(1.0F));
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(di, shifted));
  const FloatVec scaled = hn::BitCast(d, hn::Add(hn::BitCast(di, y), exponent));
  return hn::IfThenZeroElse(underflow, scaled);
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target toggle
