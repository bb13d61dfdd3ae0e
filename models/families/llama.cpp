// LLaMA 2 and 3 (Touvron et al. 2023, Grattafiori et al. 2024), and what its descendants share.
#include <array>
#include <string>

#include "models/families/family.hpp"

namespace collie {

namespace {

constexpr std::array<FileName, 3> outside_names = {{
    {"embedding", "model.embed_tokens.weight"},
    {"final_norm", "model.norm.weight"},
    {"head", "lm_head.weight"},
}};

constexpr std::array<FileName, 18> layer_names = {{
    {"attention.norm", "input_layernorm.weight"},
    {"attention.q", "self_attn.q_proj.weight"},
    {"attention.k", "self_attn.k_proj.weight"},
    {"attention.v", "self_attn.v_proj.weight"},
    {"attention.q_bias", "self_attn.q_proj.bias"},
    {"attention.k_bias", "self_attn.k_proj.bias"},
    {"attention.v_bias", "self_attn.v_proj.bias"},
    {"attention.q_norm", "self_attn.q_norm.weight"},
    {"attention.k_norm", "self_attn.k_norm.weight"},
    {"attention.o", "self_attn.o_proj.weight"},
    {"attention.o_bias", "self_attn.o_proj.bias"},
    {"mlp.norm", "post_attention_layernorm.weight"},
    {"mlp.gate", "mlp.gate_proj.weight"},
    {"mlp.up", "mlp.up_proj.weight"},
    {"mlp.gate_bias", "mlp.gate_proj.bias"},
    {"mlp.up_bias", "mlp.up_proj.bias"},
    {"mlp.down", "mlp.down_proj.weight"},
    {"mlp.down_bias", "mlp.down_proj.bias"},
}};

constexpr std::array<std::string_view, 1> harmless_ends = {".rotary_emb.inv_freq"};

Status read_sizes(const JsonReader& config, const LlamaDefaults& defaults, ModelTraits& traits) {
  constexpr std::int64_t size_max = limits::hidden_size_max;
  COLLIE_TRY(traits.vocabulary_size,
             config.get_int("vocab_size", 1, static_cast<std::int64_t>(limits::vocabulary_max)));
  COLLIE_TRY(traits.hidden_size, config.get_int("hidden_size", 1, size_max));
  COLLIE_TRY(traits.layer_count, config.get_int("num_hidden_layers", 1, limits::layers_max));
  COLLIE_TRY(traits.head_count, config.get_int("num_attention_heads", 1, size_max));
  COLLIE_TRY(traits.kv_head_count,
             config.optional_int("num_key_value_heads", traits.head_count, 1, traits.head_count));
  if (traits.head_count % traits.kv_head_count != 0) {
    return config.error(
        "num_key_value_heads",
        fmt::format("{} does not divide the {} heads", traits.kv_head_count, traits.head_count));
  }
  const bool derived = defaults.head_dim == 0;
  const std::int64_t otherwise =
      derived ? traits.hidden_size / traits.head_count : defaults.head_dim;
  COLLIE_TRY(traits.head_dim, config.optional_int("head_dim", otherwise, 1, size_max));
  if (derived && !config.has("head_dim") && traits.hidden_size % traits.head_count != 0) {
    return config.error("num_attention_heads",
                        fmt::format("{} does not divide hidden_size {} and there is no head_dim",
                                    traits.head_count, traits.hidden_size));
  }
  COLLIE_TRY(traits.mlp_size, config.get_int("intermediate_size", 1, 4 * size_max));
  COLLIE_TRY(traits.context_length,
             config.optional_int("max_position_embeddings", defaults.context_length, 1,
                                 limits::sequence_length_max));
  return ok_status();
}

Status read_switches(const JsonReader& config, const LlamaDefaults& defaults, ModelTraits& traits) {
  COLLIE_TRY(const std::string activation, config.optional_string("hidden_act", "silu"));
  if (activation != "silu" && activation != "swish") {
    return unsupported_key(
        config, "hidden_act",
        fmt::format("{} is not supported, only \"silu\"", describe_json(Json(activation))));
  }
  COLLIE_TRY(const double epsilon, config.optional_number("rms_norm_eps", 1e-6, 0.0, 1.0));
  traits.norm_epsilon = static_cast<float>(epsilon);
  COLLIE_TRY(traits.initializer_stddev,
             config.optional_number("initializer_range", 0.02, 0.0, 100.0));
  COLLIE_TRY(traits.tied_embeddings, config.optional_bool("tie_word_embeddings", false));
  COLLIE_TRY(const bool attention_bias, config.optional_bool("attention_bias", false));
  // Qwen2's biases on q, k and v are not configurable, and its output projection never has one.
  traits.qkv_bias = defaults.qkv_bias || attention_bias;
  traits.attention_output_bias = !defaults.qkv_bias && attention_bias;
  COLLIE_TRY(traits.mlp_bias, config.optional_bool("mlp_bias", false));
  traits.qk_norm = defaults.qk_norm;
  return ok_status();
}

Result<ModelTraits> read_llama_config(const JsonReader& config) {
  return read_llama_like(config, {.family = "llama"});
}

}  // namespace

Result<ModelTraits> read_llama_like(const JsonReader& config, const LlamaDefaults& defaults) {
  ModelTraits traits;
  traits.family = defaults.family;
  COLLIE_TRY_VOID(read_sizes(config, defaults, traits));
  COLLIE_TRY_VOID(read_switches(config, defaults, traits));
  COLLIE_TRY_VOID(read_rotary(config, traits));
  traits.hf_config = config.json();
  return traits;
}

std::span<const FileName> llama_outside() {
  return outside_names;
}
std::span<const FileName> llama_in_layer() {
  return layer_names;
}
std::span<const std::string_view> llama_harmless() {
  return harmless_ends;
}

const Family llama_family = {"llama",       "LlamaForCausalLM", "model.",      "model.layers.",
                             outside_names, layer_names,        harmless_ends, read_llama_config};

}  // namespace collie
