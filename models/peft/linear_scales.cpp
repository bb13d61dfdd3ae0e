#include "models/peft/linear_scales.hpp"

#include "kernels/column_scale.hpp"

namespace collie {

LinearScales::LinearScales(const ShardModel& model, int first_weight, int count)
    : parameters_(model.parameters) {
  for (int index = first_weight; index < first_weight + count; ++index) {
    const ParameterSpec& weight = parameters_.specs()[static_cast<std::size_t>(index)];
    const int magnitude = parameters_.find(weight.name + ".magnitude");
    const int values = magnitude >= 0 ? magnitude : parameters_.find(weight.name + ".ia3");
    over_norms_ = over_norms_ || magnitude >= 0;
    if (values >= 0) parts_.push_back({values, index, columns_});
    columns_ += weight.local_rows();
    // The weights of a layer share one input, and its factors stand with the first of them.
    if (input_ < 0) input_ = parameters_.find(weight.name + ".ia3_input");
  }
}

Tensor LinearScales::input_factors(SegmentContext& context) const {
  const Tensor values = parameters_.compute(input_);
  Tensor factors_k = context.stream.allocate(DType::f32, {values.element_count()});
  kernels::place_factors(context.stream, values, 0, Tensor(), factors_k);
  return factors_k;
}

Tensor LinearScales::output_factors(SegmentContext& context, const Tensor& inverse_m) const {
  Tensor factors_m = context.stream.allocate(DType::f32, {columns_});
  kernels::fill_ones(context.stream, factors_m);
  for (const Part& part : parts_) {
    kernels::place_factors(context.stream, parameters_.compute(part.values), part.column, inverse_m,
                           factors_m);
  }
  return factors_m;
}

}  // namespace collie
