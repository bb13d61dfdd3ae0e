// Updates of values that are bfloat16 alone: made in float32, some rows at a time, and rounded.
#pragma once

#include <functional>

#include "models/optimizers/rules.hpp"

namespace collie {

// Rows [begin, end) of a parameter's part on this shard; of a vector, elements.
struct RowBlock {
  std::int64_t begin = 0, end = 0;
};

// Few enough for a block to take little memory beside the values.
void for_each_block(std::int64_t rows, std::int64_t cols,
                    const std::function<void(RowBlock)>& visit);

// Calls update(block, values) for each block of the parameter, values [rows, cols] in f32, and
// rounds what it leaves there: to nearest, or by numbers that are a function of the step, the
// parameter's name and the element's place in the whole parameter.
void update_rounded(Stream& stream, Rounding rounding, const OptimizerStep& step,
                    const ParameterSpec& spec, Tensor value,
                    const std::function<void(RowBlock, Tensor&)>& update);

// The sum of the values' squares.
double squares_of_rounded(Stream& stream, const Tensor& value_rc);

}  // namespace collie
