#include "models/flops.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>
#include <vector>

#include "models/peft/tuning.hpp"
#include "models/stage.hpp"

namespace collie {

namespace {

constexpr std::int64_t above_all_layers = std::numeric_limits<std::int64_t>::max();

// "layers.3.mlp.up" is of layer 3; what stands before the layers is of -1, behind them of none.
std::int64_t flops_layer_of(std::string_view name) {
  constexpr std::string_view prefix = "layers.";
  if (name.starts_with(prefix)) {
    std::int64_t layer = 0;
    std::from_chars(name.data() + prefix.size(), name.data() + name.size(), layer);
    return layer;
  }
  const bool is_behind = name.starts_with("head") || name.starts_with("final_norm");
  return is_behind ? above_all_layers : -1;
}

// Takes part in a product with every token.
bool is_product(const ParameterSpec& spec) {
  const std::string_view name = spec.name;
  if (spec.is_vector || name.find(".ia3") != std::string_view::npos) return false;
  if (name.starts_with("layers.")) return name.find(".prefix_") == std::string_view::npos;
  return name.starts_with("head");
}

std::vector<ParameterSpec> flops_specs(const ModelTraits& traits, StageSlice slice,
                                       const Tuning* tuning) {
  slice.tp_rank = 0;
  slice.tp_size = 1;
  auto specs = declare_parameters(traits, slice);
  COLLIE_CHECK(specs.ok(), "a model with one shard cannot be declared");
  if (tuning != nullptr) declare_tuning(*tuning, traits, slice, *specs);
  return std::move(specs).value();
}

// The backward ends there.
std::int64_t first_trained_layer(const ModelTraits& traits, const Tuning* tuning) {
  if (tuning == nullptr) return -1;
  StageSlice whole;
  whole.layer_end = traits.layer_count;
  std::int64_t first = above_all_layers;
  for (const ParameterSpec& spec : flops_specs(traits, whole, tuning)) {
    if (spec.trainable) first = std::min(first, flops_layer_of(spec.name));
  }
  return first;
}

}  // namespace

std::int64_t parameter_count(const ModelTraits& traits) {
  std::int64_t total = 0;
  StageSlice slice;
  // Layers are alike: one is declared and counted for all.
  slice.layer_end = 1;
  const auto specs = declare_parameters(traits, slice);
  COLLIE_CHECK(specs.ok(), "a model with one shard cannot be declared");
  for (const ParameterSpec& spec : *specs) {
    const bool in_layer = spec.name.starts_with("layers.");
    if (spec.owned) total += spec.rows * spec.cols * (in_layer ? traits.layer_count : 1);
  }
  return total;
}

std::int64_t layer_matmul_parameters(const ModelTraits& traits) {
  const std::int64_t heads = 2 * traits.head_count + 2 * traits.kv_head_count;  // q, o and k, v
  const std::int64_t matrices = traits.mlp == MlpKind::swiglu ? 3 : 2;
  return traits.hidden_size * (heads * traits.head_dim + matrices * traits.mlp_size);
}

std::int64_t matmul_parameters(const ModelTraits& traits) {
  return traits.layer_count * layer_matmul_parameters(traits) +
         traits.vocabulary_size * traits.hidden_size;
}

double layer_forward_flops_per_token(const ModelTraits& traits, std::int64_t sequence) {
  const auto attention_width = static_cast<double>(traits.head_count * traits.head_dim);
  return 2.0 * static_cast<double>(layer_matmul_parameters(traits)) +
         4.0 * attention_width * static_cast<double>(sequence);
}

double head_forward_flops_per_token(const ModelTraits& traits) {
  return 2.0 * static_cast<double>(traits.vocabulary_size) *
         static_cast<double>(traits.hidden_size);
}

PassFlops pass_flops_per_token(const ModelTraits& traits, const StageSlice& slice,
                               std::int64_t sequence, const Tuning* tuning) {
  const std::int64_t first_trained = first_trained_layer(traits, tuning);
  PassFlops flops;
  for (const ParameterSpec& spec : flops_specs(traits, slice, tuning)) {
    if (!is_product(spec)) continue;
    const double product = 2.0 * static_cast<double>(spec.rows * spec.cols);
    flops.forward += product;
    if (flops_layer_of(spec.name) >= first_trained) flops.input += product;
    if (spec.trainable) flops.weight += product;
  }
  // Scores and their use: two products forward, four backward, none with a weight.
  const double attention = 4.0 * static_cast<double>(traits.head_count * traits.head_dim) *
                           static_cast<double>(sequence);
  for (std::int64_t layer = slice.layer_begin; layer < slice.layer_end; ++layer) {
    flops.forward += attention;
    if (layer >= first_trained) flops.input += 2.0 * attention;
  }
  return flops;
}

double training_flops_per_token(const ModelTraits& traits, std::int64_t sequence,
                                const Tuning* tuning) {
  if (tuning == nullptr) return training_flops_per_token(traits, sequence);
  StageSlice whole;
  whole.layer_end = traits.layer_count;
  const PassFlops flops = pass_flops_per_token(traits, whole, sequence, tuning);
  return flops.forward + flops.input + flops.weight;
}

double training_flops_per_token(const ModelTraits& traits, std::int64_t sequence) {
  return 3.0 * (static_cast<double>(traits.layer_count) *
                    layer_forward_flops_per_token(traits, sequence) +
                head_forward_flops_per_token(traits));
}

}  // namespace collie
