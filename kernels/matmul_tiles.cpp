// How a product is cut into tasks. Tuned by tests/bench/kernel_bench.cpp on oneDNN 2.6: its fast
// kernel (brgemm) needs whole rows of C and of B; the older one (gemm) takes any tile.
#include <algorithm>

#include "kernels/dispatch.hpp"
#include "kernels/matmul_impl.hpp"

namespace collie::kernels::cpu {

namespace {

// Pieces of `total` that are nearly equal, multiples of `unit` and not longer than `length`.
std::int64_t even_piece(std::int64_t total, std::int64_t length, std::int64_t unit) {
  const std::int64_t pieces = ceil_div(total, length);
  return std::min(total, ceil_div(ceil_div(total, pieces), unit) * unit);
}

// dw = dy^T x: the columns of dy are read at a stride, which pays from about 200 rows of dw on. A
// small dw gets a multiple of four tiles, so that two or four threads end together.
TileSize transposed_tile(const Product& product) {
  const std::int64_t columns = even_piece(product.n, product.n > 768 ? 512 : 768, 64);
  const std::int64_t column_tiles = ceil_div(product.n, columns);
  std::int64_t row_tiles = ceil_div(product.m, 256);
  if (row_tiles * column_tiles < 16) {
    while (row_tiles * column_tiles % 4 != 0) ++row_tiles;
  }
  return {even_piece(product.m, ceil_div(product.m, row_tiles), 16), columns, product.k};
}

// Few rows are one row tile, so only columns are left to share: an even number of pieces, so that
// two threads end together, as long as a piece keeps a useful width.
TileSize column_tile(const Product& product) {
  std::int64_t pieces = ceil_div(product.n, 384);
  if (pieces % 2 != 0 && product.n / (pieces + 1) >= 128) ++pieces;
  return {product.m, even_piece(product.n, ceil_div(product.n, pieces), 32), product.k};
}

}  // namespace

TileSize tile_size(const Product& product) {
  if (product.a_row == 1 && product.a_column != 1) return transposed_tile(product);
  if (product.m < 512) return column_tile(product);
  const std::int64_t rows = even_piece(product.m, 256, 16);
  // Over a long reduction brgemm streams all of w past each row tile. In float32 narrow tiles keep
  // it cached; in bf16 a reduction in parts is the faster way.
  constexpr std::int64_t part = 2048;
  if (product.b_column == 1 && product.k > part && product.in == DType::f32) {
    return {rows, even_piece(product.n, product.n > 512 ? 384 : 128, 64), product.k};
  }
  const bool in_parts = product.b_column == 1 && product.k > 4 * part && product.out == DType::bf16;
  return {rows, product.n, in_parts ? part : product.k};
}

}  // namespace collie::kernels::cpu
