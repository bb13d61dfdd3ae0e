#include "models/peft/merge.hpp"

#include <algorithm>

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

// table[V, D] += scale * a[V, R] b[D, R]^T, in float32.
void add_embedding_product(Stream& stream, const Tensor& a_vr, const Tensor& b_dr, float scale,
                           Tensor& table_vd) {
  Tensor scaled_vr = in_f32(stream, a_vr);
  kernels::scale(stream, scaled_vr, scale);
  Tensor change_vd = stream.allocate(DType::f32, table_vd.shape());
  kernels::linear_forward(stream, scaled_vr, in_f32(stream, b_dr), Tensor(), change_vd);
  kernels::add(stream, table_vd, change_vd, table_vd);
}

// The A that stands with the last of these weights that has one: they are one in files.
int shared_a(const Parameters& parameters, int index) {
  for (; index >= 0; --index) {
    const std::string& name = parameters.specs()[static_cast<std::size_t>(index)].name;
    if (const int a = parameters.find(name + ".lora_a"); a >= 0) return a;
  }
  return -1;
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

// The weights of a layer (gate, up) share one input, whose factors stand with the first of them.
int shared_input(const Parameters& parameters, int index) {
  for (;; --index) {
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
    if (const int own = parameters.find(spec.name + ".ia3_input"); own >= 0) return own;
    if (!spec.joined) return -1;
  }
}

// What stands beside one parameter; -1: nothing.
struct Beside {
  int b = -1, magnitude = -1;   // lora
  int embedding_a = -1;         // lora of the embedding, with its b
  int input = -1, output = -1;  // ia3: factors of columns, of rows
  bool any() const { return b >= 0 || magnitude >= 0 || input >= 0 || output >= 0; }
};

Beside beside(const Tuning& tuning, const Parameters& parameters, int index) {
  const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
  Beside found;
  if (spec.adapter) return found;
  if (tuning.method == TuningMethod::lora) {
    found.embedding_a = parameters.find(spec.name + ".lora_embedding_a");
    found.b =
        parameters.find(spec.name + (found.embedding_a >= 0 ? ".lora_embedding_b" : ".lora_b"));
    found.magnitude = tuning.dora ? parameters.find(spec.name + ".magnitude") : -1;
  } else if (tuning.method == TuningMethod::ia3) {
    constexpr std::string_view of_bias = "_bias";
    const bool is_bias = spec.name.ends_with(of_bias);
    const std::string weight =
        is_bias ? spec.name.substr(0, spec.name.size() - of_bias.size()) : spec.name;
    found.output = parameters.find(weight + ".ia3");
    found.input = spec.is_vector ? -1 : shared_input(parameters, index);
  }
  return found;
}

std::string_view method_text(TuningMethod method) {
  switch (method) {
    case TuningMethod::full:
      return "a model that is trained whole";
    case TuningMethod::lora:
      return "lora";
    case TuningMethod::ia3:
      return "ia3";
    case TuningMethod::prefix:
      return "prefix tuning";
    case TuningMethod::prompt:
      return "prompt tuning";
    case TuningMethod::p_tuning:
      return "p_tuning";
    case TuningMethod::houlsby:
      return "houlsby";
  }
  return "this method";
}

}  // namespace

Status check_mergeable(const Tuning& tuning, const ModelTraits& traits, int tp_size) {
  const auto adapts = [&](const TunableModule& module) {
    return layer_of_module(module.path) < 0 && is_target(tuning, traits, module.path);
  };
  if (traits.tied_embeddings && std::ranges::any_of(adaptable_modules(tuning, traits), adapts)) {
    return make_error(
        ErrorCode::unsupported,
        "embedding and head are one table in this model, which the adapter changes for "
        "one or for each in its own way: use the adapter beside the model");
  }
  const bool is_lora = tuning.method == TuningMethod::lora;
  if (is_lora && tuning.dora && tp_size > 1) {
    return make_error(ErrorCode::unsupported,
                      "DoRA needs whole rows: merge with grid.tp 1, or with \"adapter merge\"");
  }
  if (is_lora || tuning.method == TuningMethod::ia3) return ok_status();
  return make_error(ErrorCode::unsupported,
                    "{} cannot be merged into the model's weights, only lora and ia3 can: use the "
                    "adapter beside the model",
                    method_text(tuning.method));
}

void merge_into(const Tuning& tuning, const Parameters& parameters, Stream& stream, int index,
                Tensor& value) {
  COLLIE_CHECK(value.dtype() == DType::f32, "merged in float32");
  const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
  const Beside found = beside(tuning, parameters, index);
  if (found.embedding_a >= 0) {
    const auto scale = static_cast<float>(tuning.scale_of(module_path(spec)));
    add_embedding_product(stream, parameters.value(found.embedding_a), parameters.value(found.b),
                          scale, value);
  } else if (found.b >= 0) {
    add_product(stream, parameters.value(shared_a(parameters, index)), parameters.value(found.b),
                static_cast<float>(tuning.scale_of(adapted_path(spec))), value);
  }
  if (found.magnitude >= 0) merge_magnitude(parameters.value(found.magnitude), stream, value);
  if (found.input >= 0) {
    const Tensor factors_k = in_f32(stream, parameters.value(found.input));
    kernels::scale_columns(stream, value, factors_k, Tensor(), value);
  }
  if (found.output < 0) return;
  scale_rows_on_host(stream, value, in_f32(stream, parameters.value(found.output)));
}

void merge_adapter(const Tuning& tuning, Parameters& parameters, Stream& stream) {
  for (int index = 0; index < parameters.count(); ++index) {
    if (!beside(tuning, parameters, index).any()) continue;
    change_in_f32(stream, parameters.value(index),
                  [&](Tensor& value) { merge_into(tuning, parameters, stream, index, value); });
  }
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
