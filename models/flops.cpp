#include "models/flops.hpp"

#include "models/stage.hpp"

namespace collie {

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

double training_flops_per_token(const ModelTraits& traits, std::int64_t sequence) {
  return 3.0 * (static_cast<double>(traits.layer_count) *
                    layer_forward_flops_per_token(traits, sequence) +
                head_forward_flops_per_token(traits));
}

}  // namespace collie
