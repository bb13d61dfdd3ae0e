// Qwen2 and Qwen2.5 (Yang et al. 2024): LLaMA with biases on q, k and v.
#include <algorithm>
#include <string>
#include <vector>

#include "models/families/family.hpp"

namespace collie {

namespace {

Result<ModelTraits> read_qwen2_config(const JsonReader& config) {
  COLLIE_TRY(
      ModelTraits traits,
      read_llama_like(config, {.family = "qwen2", .context_length = 32768, .qkv_bias = true}));
  COLLIE_TRY_VOID(read_qwen_window(config, traits));
  return traits;
}

}  // namespace

Status read_qwen_window(const JsonReader& config, ModelTraits& traits) {
  COLLIE_TRY(const bool is_used, config.optional_bool("use_sliding_window", false));
  if (!is_used) return ok_status();
  COLLIE_TRY(const std::int64_t window,
             config.optional_int("sliding_window", 4096, 1, limits::sequence_length_max));
  std::int64_t windowed = 0;
  if (config.has("layer_types")) {
    COLLIE_TRY(const std::vector<std::string> types, config.get_strings("layer_types"));
    windowed = std::count(types.begin(), types.end(), "sliding_attention");
  } else {
    COLLIE_TRY(const std::int64_t full,
               config.optional_int("max_window_layers", 28, 0, limits::layers_max));
    windowed = std::max<std::int64_t>(traits.layer_count - full, 0);
  }
  if (windowed != 0 && windowed != traits.layer_count) {
    return unsupported_key(config, "use_sliding_window",
                           fmt::format("a window on {} of {} layers is not supported, only on all "
                                       "or none: set it to false",
                                       windowed, traits.layer_count));
  }
  traits.attention_window = windowed > 0 ? window : 0;
  return ok_status();
}

const Family qwen2_family = {"qwen2",          "Qwen2ForCausalLM", "model.",
                             "model.layers.",  llama_outside(),    llama_in_layer(),
                             llama_harmless(), read_qwen2_config};

}  // namespace collie
