// Qwen3 (Yang et al. 2025): LLaMA with an RMSNorm on every head of q and k.
#include "models/families/family.hpp"

namespace collie {

namespace {

Result<ModelTraits> read_qwen3_config(const JsonReader& config) {
  COLLIE_TRY(
      ModelTraits traits,
      read_llama_like(
          config, {.family = "qwen3", .context_length = 32768, .head_dim = 128, .qk_norm = true}));
  COLLIE_TRY_VOID(read_qwen_window(config, traits));
  return traits;
}

}  // namespace

const Family qwen3_family = {"qwen3",          "Qwen3ForCausalLM", "model.",
                             "model.layers.",  llama_outside(),    llama_in_layer(),
                             llama_harmless(), read_qwen3_config};

}  // namespace collie
