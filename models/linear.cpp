#include "models/linear.hpp"

#include "kernels/column_scale.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/matmul.hpp"

namespace collie {

Linear::Linear(const ShardModel& model, std::string_view first, int count, Cut cut)
    : parameters_(model.parameters),
      weight_(require_parameter(model.parameters, first)),
      bias_(model.parameters.find(fmt::format("{}_bias", first))),
      count_(count),
      adds_bias_(bias_ >= 0 && (cut == Cut::output || model.slice.tp_rank == 0)),
      lora_(model, weight_, count),
      scales_(model, weight_, count) {}

Tensor Linear::row_squares(SegmentContext& context) const {
  if (!scales_.over_norms()) return {};
  const std::int64_t rows = parameters_.compute_rows(weight_, count_).dim(0);
  Tensor squares_n = context.stream.allocate(DType::f32, {rows});
  kernels::fill_ones(context.stream, squares_n);
  lora_.row_squares(context, squares_n);
  return squares_n;
}

Tensor Linear::inverse_norms(SegmentContext& context, const Tensor& squares_n) const {
  if (!scales_.over_norms()) return {};
  const Tensor squares = squares_n ? squares_n : row_squares(context);
  Tensor inverse_n = context.stream.allocate(DType::f32, squares.shape());
  kernels::inverse_roots(context.stream, squares, inverse_n);
  return inverse_n;
}

Tensor Linear::scaled_input(SegmentContext& context, const Tensor& x_tk) const {
  if (!scales_.on_input()) return x_tk;
  Tensor scaled_tk = context.stream.allocate(x_tk.dtype(), x_tk.shape());
  kernels::scale_columns(context.stream, x_tk, scales_.input_factors(context), Tensor(), scaled_tk);
  return scaled_tk;
}

// Of the output before its factors.
Tensor Linear::scaled_gradient(SegmentContext& context, const Tensor& dy_tn,
                               const Tensor& inverse_n) const {
  if (!scales_.on_output()) return dy_tn;
  Tensor scaled_tn = context.stream.allocate(dy_tn.dtype(), dy_tn.shape());
  kernels::scale_columns(context.stream, dy_tn, scales_.output_factors(context, inverse_n),
                         Tensor(), scaled_tn);
  return scaled_tn;
}

// PEFT's DoRA under dropout: W x as ever, and all that the adapter changes of it on the dropped
// input x': W (x - x') + f (W x' + scale B A x').
bool Linear::splits_input(const SegmentContext& context) const {
  return scales_.over_norms() && lora_.drops(context);
}

Tensor Linear::difference(SegmentContext& context, const Tensor& a, const Tensor& b) const {
  Tensor out = context.stream.allocate(a.dtype(), a.shape());
  kernels::cast(context.stream, b, out);
  kernels::scale(context.stream, out, -1.0F);
  kernels::add(context.stream, a, out, out);
  return out;
}

void Linear::add_undropped(SegmentContext& context, const Tensor& x_tk, const Tensor& seen_tk,
                           Tensor& y_tn) const {
  Tensor rest_tn = context.stream.allocate(y_tn.dtype(), y_tn.shape());
  kernels::linear_forward(context.stream, difference(context, x_tk, seen_tk),
                          parameters_.compute_rows(weight_, count_), Tensor(), rest_tn);
  kernels::add(context.stream, y_tn, rest_tn, y_tn);
}

Tensor Linear::backward_split_input(SegmentContext& context, const Tensor& dy_tn,
                                    const Tensor& scaled_tn) const {
  const Tensor weight = parameters_.compute_rows(weight_, count_);
  Tensor dx_tk = context.stream.allocate(dy_tn.dtype(), {dy_tn.dim(0), weight.dim(1)});
  Tensor dseen_tk = context.stream.allocate(dx_tk.dtype(), dx_tk.shape());
  kernels::linear_backward_input(context.stream, dy_tn, weight, dx_tk);
  kernels::linear_backward_input(context.stream, difference(context, scaled_tn, dy_tn), weight,
                                 dseen_tk);
  lora_.backward_seen(context, scaled_tn, dseen_tk, true);
  lora_.add_through_mask(context, dseen_tk, dx_tk);
  return dx_tk;
}

// DoRA's magnitudes leave the bias as it is, (IA)3's factors are on all of the output.
Tensor Linear::forward(SegmentContext& context, const Tensor& x_tk, const Tensor& squares_n) const {
  const Tensor weight = parameters_.compute_rows(weight_, count_);
  const Tensor bias = adds_bias_ ? parameters_.compute_rows(bias_, count_) : Tensor();
  const bool bias_follows = scales_.over_norms();
  const bool splits = splits_input(context);
  const Tensor input_tk = splits ? lora_.dropped(context, x_tk) : scaled_input(context, x_tk);
  Tensor y_tn = context.stream.allocate(x_tk.dtype(), {x_tk.dim(0), weight.dim(0)});
  kernels::linear_forward(context.stream, input_tk, weight, bias_follows ? Tensor() : bias, y_tn);
  if (splits) {
    lora_.add_forward_seen(context, input_tk, y_tn);
  } else {
    lora_.add_forward(context, input_tk, y_tn);
  }
  if (scales_.on_output()) {
    const Tensor factors = scales_.output_factors(context, inverse_norms(context, squares_n));
    kernels::scale_columns(context.stream, y_tn, factors, bias_follows ? bias : Tensor(), y_tn);
  }
  if (splits) add_undropped(context, x_tk, input_tk, y_tn);
  return y_tn;
}

Tensor Linear::backward_input(SegmentContext& context, const Tensor& dy_tn, const Tensor& x_tk,
                              const Tensor& squares_n) const {
  const Tensor weight = parameters_.compute_rows(weight_, count_);
  const Tensor scaled_tn = scaled_gradient(context, dy_tn, inverse_norms(context, squares_n));
  if (splits_input(context)) return backward_split_input(context, dy_tn, scaled_tn);
  Tensor dx_tk = context.stream.allocate(dy_tn.dtype(), {dy_tn.dim(0), weight.dim(1)});
  kernels::linear_backward_input(context.stream, scaled_tn, weight, dx_tk);
  lora_.add_backward_input(context, scaled_tn, dx_tk);
  if (scales_.on_input()) {
    Tensor dfactors = parameters_.gradient(scales_.input());
    kernels::column_dots(context.stream, dx_tk, 0, x_tk, Tensor(), dfactors,
                         context.accumulate_input);
    kernels::scale_columns(context.stream, dx_tk, scales_.input_factors(context), Tensor(), dx_tk);
  }
  return dx_tk;
}

// Joined parameters have gradients as soon as one of them is trained.
bool Linear::is_trained(int first) const {
  for (int index = first; first >= 0 && index < first + count_; ++index) {
    if (parameters_.is_trainable(index)) return true;
  }
  return false;
}

bool Linear::reads_input() const {
  return is_trained(weight_) || !lora_.empty() || scales_.on_input() || scales_.on_output();
}

// A factor's gradient needs the output without it. Making it again costs a product of the tuned
// weights alone, keeping it would cost an activation.
void Linear::backward_scales(SegmentContext& context, const Tensor& dy_tn, const Tensor& x_tk,
                             const Tensor& inverse_n) const {
  for (const LinearScales::Part& part : scales_.parts()) {
    const Tensor weight = parameters_.compute(part.weight);
    const bool with_bias = adds_bias_ && !scales_.over_norms();
    const Tensor bias = with_bias ? parameters_.compute(bias_ + part.weight - weight_) : Tensor();
    Tensor y_tn = context.stream.allocate(dy_tn.dtype(), {dy_tn.dim(0), weight.dim(0)});
    kernels::linear_forward(context.stream,
                            splits_input(context) ? lora_.dropped(context, x_tk) : x_tk, weight,
                            bias, y_tn);
    lora_.add_part(context, x_tk, part.column, y_tn);
    Tensor dfactors = parameters_.gradient(part.values);
    kernels::column_dots(context.stream, dy_tn, part.column, y_tn, inverse_n, dfactors,
                         context.accumulate_weight);
  }
}

void Linear::backward_weight(SegmentContext& context, const Tensor& dy_tn, const Tensor& x_tk,
                             const Tensor& squares_n) const {
  const Tensor inverse_n = inverse_norms(context, squares_n);
  backward_scales(context, dy_tn, x_tk, inverse_n);
  const Tensor scaled_tn = scaled_gradient(context, dy_tn, inverse_n);
  lora_.backward_weight(context, scaled_tn, x_tk);
  const bool bias_is_trained = is_trained(bias_);
  Tensor dbias = bias_is_trained ? parameters_.gradient_rows(bias_, count_) : Tensor();
  if (is_trained(weight_)) {
    Tensor dweight = parameters_.gradient_rows(weight_, count_), no_bias;
    kernels::linear_backward_weight(context.stream, scaled_tn, scaled_input(context, x_tk), dweight,
                                    scales_.over_norms() ? no_bias : dbias,
                                    context.accumulate_weight);
    if (!scales_.over_norms()) return;
  }
  if (bias_is_trained) {
    kernels::linear_backward_bias(context.stream, scales_.over_norms() ? dy_tn : scaled_tn, dbias,
                                  context.accumulate_weight);
  }
}

}  // namespace collie
