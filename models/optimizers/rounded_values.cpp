#include "models/optimizers/rounded_values.hpp"

#include <algorithm>

#include "kernels/elementwise.hpp"
#include "kernels/rounding.hpp"
#include "models/name_hash.hpp"

namespace collie {

namespace {

constexpr std::int64_t block_elements = std::int64_t{1} << 20;

void round_block(Stream& stream, const OptimizerStep& step, const ParameterSpec& spec,
                 RowBlock block, const Tensor& from, Tensor to) {
  const std::string& name = spec.tied_to.empty() ? spec.name : spec.tied_to;
  kernels::RoundingNumbers numbers{step.seed, static_cast<std::uint64_t>(step.step),
                                   hash_name(name), 0};
  const bool is_whole = spec.local_cols() == spec.cols;
  const std::int64_t rows_at_once = is_whole ? block.end - block.begin : 1;
  for (std::int64_t row = block.begin; row < block.end; row += rows_at_once) {
    numbers.first_index = (spec.row_begin + row) * spec.cols + spec.col_begin;
    const std::int64_t begin = row - block.begin;
    Tensor target = to.rows(begin, begin + rows_at_once);
    kernels::round_stochastic(stream, numbers, from.rows(begin, begin + rows_at_once), target);
  }
}

}  // namespace

void for_each_block(std::int64_t rows, std::int64_t cols,
                    const std::function<void(RowBlock)>& visit) {
  const std::int64_t most =
      std::max<std::int64_t>(1, block_elements / std::max<std::int64_t>(1, cols));
  for (std::int64_t begin = 0; begin < rows; begin += most) {
    visit({begin, std::min(rows, begin + most)});
  }
}

void update_rounded(Stream& stream, Rounding rounding, const OptimizerStep& step,
                    const ParameterSpec& spec, Tensor value,
                    const std::function<void(RowBlock, Tensor&)>& update) {
  const std::int64_t rows = spec.local_rows(), cols = spec.local_cols();
  const Tensor value_rc = value.reshaped({rows, cols});
  for_each_block(rows, cols, [&](RowBlock block) {
    Tensor narrow = value_rc.rows(block.begin, block.end);
    Tensor wide = stream.allocate(DType::f32, narrow.shape());
    kernels::cast(stream, narrow, wide);
    update(block, wide);
    if (rounding == Rounding::nearest) {
      kernels::cast(stream, wide, narrow);
    } else {
      round_block(stream, step, spec, block, wide, narrow);
    }
  });
}

double squares_of_rounded(Stream& stream, const Tensor& value_rc) {
  double squares = 0.0;
  for_each_block(value_rc.dim(0), value_rc.dim(1), [&](RowBlock block) {
    const Tensor narrow = value_rc.rows(block.begin, block.end);
    Tensor wide = stream.allocate(DType::f32, narrow.shape());
    kernels::cast(stream, narrow, wide);
    squares += kernels::sum_of_squares(stream, wide);
  });
  return squares;
}

}  // namespace collie
