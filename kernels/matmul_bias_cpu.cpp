// Bias gradients: column sums of a matrix.
#include <algorithm>

#include "kernels/dispatch.hpp"
#include "kernels/matmul_impl.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul_bias_cpu.cpp"
#include "kernels/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {

namespace {

// Rows are summed in blocks first: the error then grows with the number of blocks, not of rows.
constexpr std::int64_t block_rows = 64;

struct Columns {
  std::int64_t rows;
  std::int64_t stride;
  std::int64_t begin;
  std::int64_t end;
};

template <class T>
FloatVec sum_column_vector(const T* x, const Columns& columns, std::int64_t width) {
  FloatVec total = zero();
  for (std::int64_t block = 0; block < columns.rows; block += block_rows) {
    const std::int64_t block_end = std::min(columns.rows, block + block_rows);
    FloatVec sum = zero();
    for (std::int64_t row = block; row < block_end; ++row) {
      const T* from = x + row * columns.stride;
      sum = hn::Add(sum, width == lanes ? load(from) : load_partial(from, width));
    }
    total = hn::Add(total, sum);
  }
  return total;
}

template <class T>
void sum_columns(const T* x, const Columns& columns, float* sums, bool accumulate) {
  for (std::int64_t column = columns.begin; column < columns.end; column += lanes) {
    const std::int64_t width = std::min(lanes, columns.end - column);
    FloatVec total = sum_column_vector(x + column, columns, width);
    if (accumulate) total = hn::Add(load_partial(sums + column, width), total);
    store_partial(total, sums + column, width);
  }
}

}  // namespace

void column_sums_tile(const Tensor& x_tn, float* sums, std::int64_t begin, std::int64_t end,
                      bool accumulate) {
  const Columns columns{x_tn.dim(0), x_tn.dim(1), begin, end};
  if (x_tn.dtype() == DType::f32) {
    sum_columns(x_tn.data<float>(), columns, sums, accumulate);
  } else {
    sum_columns(x_tn.data<BFloat16>(), columns, sums, accumulate);
  }
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

HWY_EXPORT(column_sums_tile);

namespace cpu {

void column_sums(Stream& stream, const Tensor& x_tn, Tensor& sums_n, bool accumulate) {
  constexpr std::int64_t columns_per_task = 64;
  float* sums = sums_n.mutable_data<float>();
  for_tiles(stream, x_tn.dim(1), columns_per_task, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(column_sums_tile)(x_tn, sums, begin, end, accumulate);
  });
}

}  // namespace cpu
}  // namespace collie::kernels
#endif
