#include "models/peft/declare_adapters.hpp"

#include <cmath>
#include <utility>

namespace collie {

ParameterSpec& AdapterDeclarer::add(std::string name, std::int64_t rows, std::int64_t cols) {
  ParameterSpec& spec = made_.emplace_back();
  spec.name = std::move(name);
  spec.rows = spec.row_end = spec.hf.file_rows = rows;
  spec.cols = spec.col_end = cols;
  spec.adapter = true;
  return spec;
}

ParameterSpec& AdapterDeclarer::add_vector(std::string name, std::int64_t rows) {
  ParameterSpec& spec = add(std::move(name), rows, 1);
  spec.is_vector = true;
  spec.decay = false;
  return spec;
}

void AdapterDeclarer::replicate(ParameterSpec& spec, bool gradients_add_up) const {
  spec.owned = slice_.tp_rank == 0;
  if (gradients_add_up && slice_.tp_size > 1) spec.gradient_group_end = slice_.tp_size;
}

// Where the weight is cut by columns, its layer's output is a sum over shards, and so is a gradient
// of something on that output.
void AdapterDeclarer::cut_like_rows(ParameterSpec& spec, const ParameterSpec& weight) const {
  spec.row_begin = weight.row_begin;
  spec.row_end = weight.row_end;
  spec.owned = weight.owned;
  spec.gradient_group_begin = weight.gradient_group_begin;
  spec.gradient_group_end = weight.gradient_group_end;
  spec.hf.row_offset = weight.hf.row_offset;
  spec.hf.file_rows = weight.hf.file_rows;
  if (weight.local_cols() != weight.cols) replicate(spec, true);
}

bool AdapterDeclarer::is_adapted(const ParameterSpec& weight) const {
  const bool is_linear = weight.name.starts_with("layers.") || weight.name == "head";
  return !weight.is_vector && is_linear && is_target(tuning_, traits_, adapted_path(weight));
}

namespace {

class Ia3Declarer : AdapterDeclarer {
 public:
  using AdapterDeclarer::AdapterDeclarer;

  std::vector<ParameterSpec> declare(const std::vector<ParameterSpec>& base) {
    for (const ParameterSpec& weight : base) {
      if (!is_adapted(weight) || weight.name == "head") continue;
      const std::string path = module_path(weight);
      const std::string tensor = fmt::format("{}{}.ia3_l", adapter_file_prefix, path);
      if (!is_feedforward(tuning_, traits_, path)) {
        ParameterSpec& factors = finish(add(weight.name + ".ia3", weight.rows, 1), tensor);
        cut_like_rows(factors, weight);
      } else if (made_.empty() || made_.back().hf.tensor != tensor) {
        ParameterSpec& factors = finish(add(weight.name + ".ia3_input", 1, weight.cols), tensor);
        factors.col_begin = weight.col_begin;
        factors.col_end = weight.col_end;
        if (factors.local_cols() == factors.cols) replicate(factors, true);
      }
    }
    return std::move(made_);
  }

 private:
  static ParameterSpec& finish(ParameterSpec& factors, const std::string& tensor) {
    factors.initial = Initial::ones;
    factors.decay = false;
    factors.hf.tensor = tensor;
    return factors;
  }
};

// What belongs to a layer as a whole, declared where its attention's or MLP's weights are.
class LayerDeclarer : AdapterDeclarer {
 public:
  using AdapterDeclarer::AdapterDeclarer;

  // Keys and values [G * K, tokens] of each layer, transposed parts of one tensor in the file:
  // [tokens, layers * 2 * G * K].
  std::vector<ParameterSpec> declare_prefix(const std::vector<ParameterSpec>& base) {
    std::int64_t layer = slice_.layer_begin;
    for (const ParameterSpec& weight : base) {
      const bool is_value = weight.name.ends_with(".attention.v");
      if (!is_value && !weight.name.ends_with(".attention.k")) continue;
      const std::string kind = is_value ? "prefix_v" : "prefix_k";
      ParameterSpec& part = add(weight.name.substr(0, weight.name.size() - 1) + kind, weight.rows,
                                tuning_.virtual_tokens);
      cut_like_rows(part, weight);
      part.stddev = 1.0;  // PEFT's, of an embedding
      part.hf.tensor = "prompt_embeddings";
      part.hf.transposed = true;
      part.hf.row_offset = (2 * layer + (is_value ? 1 : 0)) * weight.rows;
      part.hf.file_rows = 2 * traits_.layer_count * weight.rows;
      if (is_value) ++layer;
    }
    return std::move(made_);
  }

  std::vector<ParameterSpec> declare_bottlenecks(const std::vector<ParameterSpec>& base) {
    for (const ParameterSpec& weight : base) {
      if (!weight.name.ends_with(".attention.o") && !weight.name.ends_with(".mlp.down")) continue;
      const std::string half = weight.name.substr(0, weight.name.rfind('.'));
      const std::string module = module_path(weight);
      const std::string file =
          std::string(adapter_file_prefix) + module.substr(0, module.rfind('.'));
      add_net(half + ".adapter_down", file + ".adapter_down", tuning_.bottleneck,
              traits_.hidden_size);
      add_net(half + ".adapter_up", file + ".adapter_up", traits_.hidden_size, tuning_.bottleneck);
    }
    return std::move(made_);
  }

 private:
  // The paper's start: almost the identity.
  void add_net(const std::string& name, const std::string& file, std::int64_t rows,
               std::int64_t cols) {
    ParameterSpec& weight = add(name, rows, cols);
    weight.stddev = 0.01;
    weight.hf.tensor = file + ".weight";
    replicate(weight, false);
    ParameterSpec& bias = add_vector(name + "_bias", rows);
    bias.initial = Initial::zeros;
    bias.hf.tensor = file + ".bias";
    replicate(bias, false);
  }
};

// Embeddings of the virtual tokens, and for p-tuning the net behind them.
class PromptDeclarer : AdapterDeclarer {
 public:
  using AdapterDeclarer::AdapterDeclarer;

  std::vector<ParameterSpec> declare() {
    const std::int64_t hidden = traits_.hidden_size, width = tuning_.projection_size;
    const bool has_net = tuning_.method == TuningMethod::p_tuning;
    ParameterSpec& table = add("prompt", tuning_.virtual_tokens, hidden);
    table.stddev = has_net ? 1.0 : traits_.initializer_stddev;
    table.hf.tensor = has_net ? "prompt_encoder.embedding.weight" : "prompt_embeddings";
    replicate(table, false);
    if (!has_net) return std::move(made_);
    add_layer(0, width, hidden);
    add_layer(2, width, width);
    add_layer(4, hidden, width);
    return std::move(made_);
  }

 private:
  // PEFT's start: uniform(-1/sqrt(cols), 1/sqrt(cols)), here normal with its variance.
  void add_layer(int index, std::int64_t rows, std::int64_t cols) {
    ParameterSpec& weight = add(fmt::format("prompt_net.{}", index), rows, cols);
    weight.stddev = 1.0 / std::sqrt(3.0 * static_cast<double>(cols));
    weight.hf.tensor = fmt::format("prompt_encoder.mlp_head.{}.weight", index);
    replicate(weight, false);
    ParameterSpec& bias = add_vector(fmt::format("prompt_net.{}_bias", index), rows);
    bias.initial = Initial::zeros;
    bias.hf.tensor = fmt::format("prompt_encoder.mlp_head.{}.bias", index);
    replicate(bias, false);
  }
};

}  // namespace

std::vector<ParameterSpec> declare_adapters(const Tuning& tuning, const ModelTraits& traits,
                                            const StageSlice& slice,
                                            const std::vector<ParameterSpec>& base) {
  switch (tuning.method) {
    case TuningMethod::full:
      return {};
    case TuningMethod::lora:
      return declare_lora(tuning, traits, slice, base);
    case TuningMethod::ia3:
      return Ia3Declarer(tuning, traits, slice).declare(base);
    case TuningMethod::prefix:
      return LayerDeclarer(tuning, traits, slice).declare_prefix(base);
    case TuningMethod::houlsby:
      return LayerDeclarer(tuning, traits, slice).declare_bottlenecks(base);
    case TuningMethod::prompt:
    case TuningMethod::p_tuning:
      if (!slice.has_embedding) return {};
      return PromptDeclarer(tuning, traits, slice).declare();
  }
  COLLIE_CHECK(false, "no such method");
  return {};
}

}  // namespace collie
