// The CPU side of matmul.hpp. Operands are checked and non-empty.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels::cpu {

// One product C[M,N] = A[M,K] B[K,N] (+ bias[N]) or C += A B over strided row-major storage.
struct Product {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  // Distance, in elements, of neighbours along rows and along columns; C has unit column stride.
  std::int64_t a_row = 0;
  std::int64_t a_column = 0;
  std::int64_t b_row = 0;
  std::int64_t b_column = 0;
  std::int64_t c_row = 0;
  DType in = DType::f32;
  DType out = DType::f32;
  bool accumulate = false;
  bool bias = false;
  bool operator==(const Product&) const = default;
};

// Sizes of the tiles of C that tasks compute; they depend on the shape alone. A depth below k is
// for bf16 results only.
struct TileSize {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t depth = 0;  // longest piece of the reduction that one call takes
};
TileSize tile_size(const Product& product);

// Cuts the product into tiles and runs them on the stream's lanes.
void multiply(Stream& stream, const Product& product, const std::byte* a, const std::byte* b,
              const std::byte* bias, std::byte* c);

// Whether this processor multiplies bf16 directly; elsewhere operands are widened to f32 first.
bool has_bf16_products();

// sums[N] (f32) = or += the column sums of x[T,N], rows in order.
void column_sums(Stream& stream, const Tensor& x_tn, Tensor& sums_n, bool accumulate);

}  // namespace collie::kernels::cpu
