// What distinguishes one decoder from another: read from a Hugging Face config.json by a family and
// used by the one decoder that serves them all.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/activation.hpp"
#include "runtime/json.hpp"

namespace collie {

enum class NormKind { rms, layer };
enum class PositionKind { rotary, learned };
enum class MlpKind { swiglu, gelu };

struct ModelTraits {
  std::string family;  // registry name: "llama", "mistral", "qwen2", "qwen3", "gpt2"

  std::int64_t vocabulary_size = 0;
  std::int64_t rows_in_files = 0;  // of the vocabulary, before it was resized; 0: was not
  std::int64_t hidden_size = 0;
  std::int64_t layer_count = 0;
  std::int64_t head_count = 0;
  std::int64_t kv_head_count = 0;
  std::int64_t head_dim = 0;
  std::int64_t mlp_size = 0;
  std::int64_t context_length = 0;  // most positions the model allows

  NormKind norm = NormKind::rms;
  float norm_epsilon = 1e-6F;
  PositionKind positions = PositionKind::rotary;
  std::vector<double> inverse_frequencies;  // rotary: [head_dim / 2], scaling already applied
  double rotary_attention_factor = 1.0;
  MlpKind mlp = MlpKind::swiglu;
  kernels::Gelu gelu = kernels::Gelu::tanh;
  bool qkv_bias = false;
  bool attention_output_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;
  bool tied_embeddings = false;
  std::int64_t attention_window = 0;  // 0: none
  double initializer_stddev = 0.02;

  Json hf_config;  // as read, unknown keys included; written back with the model
};

}  // namespace collie
