// What a family of models is: how its config.json is read and where its tensors stand in files.
// One short file per family; models/registry.cpp lists them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "models/parameters.hpp"
#include "models/traits.hpp"

namespace collie {

// Canonical name of a parameter (inside its layer, or of the whole model) to the name in files.
struct FileName {
  std::string_view part;
  std::string_view tensor;
  bool transposed = false;  // the file holds [in, out]
  int block = -1;           // >= 0: this third of a fused q, k, v tensor
};

struct Family {
  std::string_view model_type;
  std::string_view architecture;       // for config.json of a fresh model
  std::string_view base_prefix;        // files of the bare decoder, without head, lack it
  std::string_view layer_prefix;       // followed by the layer's number and a dot
  std::span<const FileName> outside;   // names in full
  std::span<const FileName> in_layer;  // names after the layer's number
  // Tensors some versions save although they are no parameters: ends of their names.
  std::span<const std::string_view> harmless;
  Result<ModelTraits> (*read_config)(const JsonReader& config);
};

extern const Family llama_family;
extern const Family mistral_family;
extern const Family qwen2_family;
extern const Family qwen3_family;
extern const Family gpt2_family;

// Where a declared parameter stands in the family's files; false when the family has no such.
bool bind_to_file(const Family& family, ParameterSpec& spec);

// ---- for the families' files

struct LlamaDefaults {
  std::string_view family;
  std::int64_t context_length = 2048;
  std::int64_t head_dim = 0;  // 0: hidden_size / num_attention_heads
  bool qkv_bias = false;
  bool qk_norm = false;
};
// The keys that LLaMA, Mistral and Qwen share. Every error names the key.
Result<ModelTraits> read_llama_like(const JsonReader& config, const LlamaDefaults& defaults);
std::span<const FileName> llama_outside();
std::span<const FileName> llama_in_layer();
std::span<const std::string_view> llama_harmless();

// Fills the inverse frequencies from rope_parameters (transformers 5) or rope_theta and
// rope_scaling (before). Types: default, linear, llama3, by the formulas of transformers'
// modeling_rope_utils.
Status read_rotary(const JsonReader& config, ModelTraits& traits);
// Qwen's window: only where use_sliding_window is set, and then for all layers or none.
Status read_qwen_window(const JsonReader& config, ModelTraits& traits);

// An error of code unsupported that names file and key.
Error unsupported_key(const JsonReader& config, std::string_view key, std::string_view message);

}  // namespace collie
