#include "models/decoder.hpp"

#include <algorithm>
#include <string>

#include "kernels/elementwise.hpp"
#include "kernels/norm.hpp"

namespace collie {

const kernels::RopeTable& RotaryTable::at_least(std::int64_t positions) {
  COLLIE_CHECK(positions <= traits_.context_length, "{} positions, the model allows {}", positions,
               traits_.context_length);
  if (positions > positions_) {
    positions_ = std::min(std::max(positions, 2 * positions_), traits_.context_length);
    table_ = kernels::make_rope_table(stream_.allocator(), traits_.inverse_frequencies, positions_,
                                      traits_.rotary_attention_factor);
  }
  return table_;
}

int require_parameter(const Parameters& parameters, std::string_view name) {
  const int index = parameters.find(name);
  COLLIE_CHECK(index >= 0, "no parameter {}", name);
  return index;
}

Tensor gradient_or_scratch(SegmentContext& context, const Parameters& parameters, int index) {
  if (parameters.is_trainable(index)) return parameters.gradient(index);
  const std::int64_t count = parameters.specs()[static_cast<std::size_t>(index)].local_count();
  Tensor scratch = context.stream.allocate(DType::f32, {count});  // a vector, wherever its value is
  if (context.accumulate_input) kernels::fill_zero(context.stream, scratch);
  return scratch;
}

Norm::Norm(const ShardModel& model, std::string_view name)
    : parameters_(model.parameters),
      epsilon_(model.traits.norm_epsilon),
      is_layer_norm_(model.traits.norm == NormKind::layer),
      gain_(require_parameter(model.parameters, name)),
      bias_(model.parameters.find(std::string(name) + "_bias")) {}

Norm::Output Norm::forward(SegmentContext& context, const Hidden& hidden) const {
  Stream& stream = context.stream;
  const Tensor& x_td = hidden.x_td;
  Output out;
  out.y_td = stream.allocate(x_td.dtype(), x_td.shape());
  out.rstd_t = stream.allocate(DType::f32, {x_td.dim(0)});
  if (is_layer_norm_) out.mean_t = stream.allocate(DType::f32, {x_td.dim(0)});
  if (hidden.delta_td) out.h_td = stream.allocate(x_td.dtype(), x_td.shape());
  const Tensor gain = parameters_.compute(gain_);
  const Tensor bias = bias_ >= 0 ? parameters_.compute(bias_) : Tensor();
  kernels::norm_forward(stream, x_td, hidden.delta_td, gain, bias, epsilon_, out.h_td, out.y_td,
                        out.rstd_t, out.mean_t);
  if (!hidden.delta_td) out.h_td = x_td;
  return out;
}

Tensor Norm::backward(SegmentContext& context, const Tensor& dy_td, const Output& saved,
                      const Tensor& dresidual_td) const {
  Tensor dx_td = context.stream.allocate(dy_td.dtype(), dy_td.shape());
  const Tensor gain = parameters_.compute(gain_);
  const auto trained_gradient = [&](int index) {
    return index >= 0 && parameters_.is_trainable(index) ? parameters_.gradient(index) : Tensor();
  };
  Tensor dgain = trained_gradient(gain_), dbias = trained_gradient(bias_);
  kernels::norm_backward(context.stream, dy_td, saved.h_td, gain, saved.rstd_t, saved.mean_t,
                         dresidual_td, dx_td, dgain, dbias, context.accumulate_input);
  return dx_td;
}

}  // namespace collie
