// GPT-2 (Radford et al. 2019): learned positions, LayerNorm, GELU, biases everywhere. Its files
// hold linear weights as [in, out] and q, k and v in one tensor.
#include <array>
#include <string>

#include "models/families/family.hpp"

namespace collie {

namespace {

constexpr std::array<FileName, 5> outside_names = {{
    {"embedding", "transformer.wte.weight"},
    {"positions", "transformer.wpe.weight"},
    {"final_norm", "transformer.ln_f.weight"},
    {"final_norm_bias", "transformer.ln_f.bias"},
    {"head", "lm_head.weight"},
}};

constexpr std::array<FileName, 16> layer_names = {{
    {"attention.norm", "ln_1.weight"},
    {"attention.norm_bias", "ln_1.bias"},
    {"attention.q", "attn.c_attn.weight", true, 0},
    {"attention.k", "attn.c_attn.weight", true, 1},
    {"attention.v", "attn.c_attn.weight", true, 2},
    {"attention.q_bias", "attn.c_attn.bias", false, 0},
    {"attention.k_bias", "attn.c_attn.bias", false, 1},
    {"attention.v_bias", "attn.c_attn.bias", false, 2},
    {"attention.o", "attn.c_proj.weight", true},
    {"attention.o_bias", "attn.c_proj.bias"},
    {"mlp.norm", "ln_2.weight"},
    {"mlp.norm_bias", "ln_2.bias"},
    {"mlp.up", "mlp.c_fc.weight", true},
    {"mlp.up_bias", "mlp.c_fc.bias"},
    {"mlp.down", "mlp.c_proj.weight", true},
    {"mlp.down_bias", "mlp.c_proj.bias"},
}};

constexpr std::array<std::string_view, 2> harmless_ends = {".attn.bias", ".attn.masked_bias"};

Status read_sizes(const JsonReader& config, ModelTraits& traits) {
  constexpr std::int64_t size_max = limits::hidden_size_max;
  COLLIE_TRY(traits.vocabulary_size,
             config.get_int("vocab_size", 1, static_cast<std::int64_t>(limits::vocabulary_max)));
  COLLIE_TRY(traits.hidden_size, config.get_int("n_embd", 1, size_max));
  COLLIE_TRY(traits.layer_count, config.get_int("n_layer", 1, limits::layers_max));
  COLLIE_TRY(traits.head_count, config.get_int("n_head", 1, size_max));
  COLLIE_TRY(traits.mlp_size,
             config.optional_int("n_inner", 4 * traits.hidden_size, 1, 4 * size_max));
  COLLIE_TRY(traits.context_length,
             config.optional_int("n_positions", 1024, 1, limits::sequence_length_max));
  if (traits.hidden_size % traits.head_count != 0) {
    return config.error("n_head", fmt::format("{} does not divide n_embd {}", traits.head_count,
                                              traits.hidden_size));
  }
  traits.kv_head_count = traits.head_count;
  traits.head_dim = traits.hidden_size / traits.head_count;
  return ok_status();
}

Status read_activation(const JsonReader& config, ModelTraits& traits) {
  COLLIE_TRY(const std::string name, config.optional_string("activation_function", "gelu_new"));
  if (name == "gelu") {
    traits.gelu = kernels::Gelu::erf;
  } else if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") {
    traits.gelu = kernels::Gelu::tanh;
  } else {
    return unsupported_key(
        config, "activation_function",
        fmt::format("{} is not supported, only gelu_new and gelu", describe_json(Json(name))));
  }
  return ok_status();
}

Status refuse_variants(const JsonReader& config) {
  COLLIE_TRY(const bool scaled, config.optional_bool("scale_attn_weights", true));
  if (!scaled) return unsupported_key(config, "scale_attn_weights", "must be true");
  for (const std::string_view key : {"scale_attn_by_inverse_layer_idx", "add_cross_attention"}) {
    COLLIE_TRY(const bool is_set, config.optional_bool(key, false));
    if (is_set) return unsupported_key(config, key, "must be false");
  }
  return ok_status();
}

Result<ModelTraits> read_gpt2_config(const JsonReader& config) {
  ModelTraits traits;
  traits.family = "gpt2";
  COLLIE_TRY_VOID(read_sizes(config, traits));
  COLLIE_TRY_VOID(read_activation(config, traits));
  COLLIE_TRY_VOID(refuse_variants(config));
  COLLIE_TRY(const double epsilon, config.optional_number("layer_norm_epsilon", 1e-5, 0.0, 1.0));
  COLLIE_TRY(traits.initializer_stddev,
             config.optional_number("initializer_range", 0.02, 0.0, 100.0));
  COLLIE_TRY(traits.tied_embeddings, config.optional_bool("tie_word_embeddings", true));
  traits.norm_epsilon = static_cast<float>(epsilon);
  traits.norm = NormKind::layer;
  traits.positions = PositionKind::learned;
  traits.mlp = MlpKind::gelu;
  traits.qkv_bias = traits.attention_output_bias = traits.mlp_bias = true;
  traits.hf_config = config.json();
  return traits;
}

}  // namespace

const Family gpt2_family = {"gpt2",        "GPT2LMHeadModel", "transformer.", "transformer.h.",
                            outside_names, layer_names,       harmless_ends,  read_gpt2_config};

}  // namespace collie
