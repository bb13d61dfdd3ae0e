// Mistral (Jiang et al. 2023): LLaMA with a window on attention.
#include "models/families/family.hpp"

namespace collie {

namespace {

Result<ModelTraits> read_mistral_config(const JsonReader& config) {
  COLLIE_TRY(ModelTraits traits,
             read_llama_like(config, {.family = "mistral", .context_length = 4096 * 32}));
  // Absent means the 4096 of transformers, null means none; the reader takes both for absent.
  const std::int64_t otherwise = config.json().contains("sliding_window") ? 0 : 4096;
  COLLIE_TRY(traits.attention_window,
             config.optional_int("sliding_window", otherwise, 1, limits::sequence_length_max));
  return traits;
}

}  // namespace

const Family mistral_family = {"mistral",        "MistralForCausalLM", "model.",
                               "model.layers.",  llama_outside(),      llama_in_layer(),
                               llama_harmless(), read_mistral_config};

}  // namespace collie
