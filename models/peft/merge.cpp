#include "models/peft/merge.hpp"

#include "kernels/column_scale.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/matmul.hpp"
#include "models/host_copy.hpp"

namespace collie {

namespace {

std::vector<Tensor> trained_values(const Parameters& parameters) {
  std::vector<Tensor> values;
  for (int index = 0; index < parameters.count(); ++index) {
    const bool is_held = !parameters.is_alias(index) && parameters.holds_value(index);
    if (is_held && parameters.is_trainable(index)) values.push_back(parameters.value(index));
  }
  return values;
}

// A value of either type in float32, changed and put back.
void change_in_f32(Stream& stream, Tensor value, const std::function<void(Tensor&)>& change) {
  if (value.dtype() == DType::f32) return change(value);
  Tensor wide = stream.allocate(DType::f32, value.shape());
  kernels::cast(stream, value, wide);
  change(wide);
  kernels::cast(stream, wide, value);
}

Tensor in_f32(Stream& stream, const Tensor& value) {
  Tensor wide = stream.allocate(DType::f32, value.shape());
  kernels::cast(stream, value, wide);
  return wide;
}

// weight[M, K] += scale * b[M, R] a[R, K], in float32.
void add_product(Stream& stream, const Tensor& a_rk, const Tensor& b_mr, float scale,
                 Tensor& weight_mk) {
  Tensor scaled_mr = in_f32(stream, b_mr);
  kernels::scale(stream, scaled_mr, scale);
  kernels::linear_backward_input(stream, scaled_mr, in_f32(stream, a_rk), weight_mk, true);
}

void merge_lora(const Tuning& tuning, Parameters& parameters, Stream& stream) {
  const auto scale = static_cast<float>(tuning.lora_scale());
  int a = -1;
  for (int index = 0; index < parameters.count(); ++index) {
    const std::string& name = parameters.specs()[static_cast<std::size_t>(index)].name;
    const int own_a = parameters.find(name + ".lora_a");
    const int b = parameters.find(name + ".lora_b");
    if (own_a >= 0) a = own_a;  // else the A of the weight before: they are one in files
    if (b < 0) continue;
    change_in_f32(stream, parameters.value(index), [&](Tensor& weight) {
      add_product(stream, parameters.value(a), parameters.value(b), scale, weight);
    });
  }
}

// DoRA: each row gets the length that was trained for it.
void merge_magnitude(const Tensor& magnitude_n, Stream& stream, Tensor& weight_nk) {
  const std::int64_t rows = magnitude_n.element_count();
  Tensor squares_n = stream.allocate(DType::f32, {rows});
  Tensor inverse_n = stream.allocate(DType::f32, {rows});
  Tensor factors_n = stream.allocate(DType::f32, {rows});
  kernels::row_squares(stream, weight_nk, Tensor(), Tensor(), {}, squares_n);
  kernels::inverse_roots(stream, squares_n, inverse_n);
  kernels::place_factors(stream, magnitude_n, 0, inverse_n, factors_n);
  scale_rows_on_host(stream, weight_nk, factors_n);
}

void merge_magnitudes(Parameters& parameters, Stream& stream) {
  for (int index = 0; index < parameters.count(); ++index) {
    const std::string& name = parameters.specs()[static_cast<std::size_t>(index)].name;
    const int magnitude = parameters.find(name + ".magnitude");
    if (magnitude < 0) continue;
    change_in_f32(stream, parameters.value(index), [&](Tensor& weight) {
      merge_magnitude(parameters.value(magnitude), stream, weight);
    });
  }
}

// The weights of a layer (gate, up) share one input, whose factors stand with the first of them; a
// factor of the output is one of the bias too.
void merge_factors(Parameters& parameters, Stream& stream) {
  int input = -1;
  for (int index = 0; index < parameters.count(); ++index) {
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
    const int output = parameters.find(spec.name + ".ia3");
    if (!spec.joined) input = -1;
    if (const int own = parameters.find(spec.name + ".ia3_input"); own >= 0) input = own;
    if (input >= 0 && !spec.is_vector) {
      const Tensor factors_k = in_f32(stream, parameters.value(input));
      change_in_f32(stream, parameters.value(index), [&](Tensor& weight) {
        kernels::scale_columns(stream, weight, factors_k, Tensor(), weight);
      });
    }
    if (output < 0) continue;
    const Tensor factors_n = in_f32(stream, parameters.value(output));
    const auto scale = [&](Tensor& rows) { scale_rows_on_host(stream, rows, factors_n); };
    change_in_f32(stream, parameters.value(index), scale);
    const int bias = parameters.find(spec.name + "_bias");
    if (bias >= 0) change_in_f32(stream, parameters.value(bias), scale);
  }
}

}  // namespace

Status check_mergeable(const Tuning& tuning, int tp_size) {
  const bool is_lora = tuning.method == TuningMethod::lora;
  if (is_lora && tuning.dora && tp_size > 1) {
    return make_error(ErrorCode::unsupported,
                      "DoRA needs whole rows: merge with grid.tp 1, or with \"adapter merge\"");
  }
  if (is_lora || tuning.method == TuningMethod::ia3) return ok_status();
  return make_error(ErrorCode::unsupported,
                    "only lora and ia3 can be merged into the model's weights: use the adapter "
                    "beside the model");
}

void merge_adapter(const Tuning& tuning, Parameters& parameters, Stream& stream) {
  if (tuning.method == TuningMethod::lora) merge_lora(tuning, parameters, stream);
  if (tuning.method == TuningMethod::lora && tuning.dora) merge_magnitudes(parameters, stream);
  if (tuning.method == TuningMethod::ia3) merge_factors(parameters, stream);
  parameters.refresh_compute(stream);
}

std::vector<Tensor> copy_trained(const Parameters& parameters, Stream& stream) {
  std::vector<Tensor> copies;
  for (const Tensor& value : trained_values(parameters)) {
    Tensor copy = stream.allocate(value.dtype(), value.shape());
    kernels::cast(stream, value, copy);
    copies.push_back(std::move(copy));
  }
  return copies;
}

void put_trained(const std::vector<Tensor>& trained, Parameters& parameters, Stream& stream) {
  std::vector<Tensor> values = trained_values(parameters);
  COLLIE_CHECK(values.size() == trained.size(), "copied from other parameters");
  for (std::size_t i = 0; i < values.size(); ++i) kernels::cast(stream, trained[i], values[i]);
  parameters.refresh_compute(stream);
}

Status unmerge_adapter(Parameters& parameters, Stream& stream,
                       const std::function<Status()>& load_base) {
  const std::vector<Tensor> trained = copy_trained(parameters, stream);
  Status loaded = load_base();
  put_trained(trained, parameters, stream);
  return loaded;
}

}  // namespace collie
