// Writing an adapter: its configuration as PEFT reads it, its tensors from the parts of all shards.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/elementwise.hpp"
#include "models/peft/adapter_files.hpp"
#include "models/peft/prompt.hpp"

namespace collie {

namespace {

std::string_view peft_type(TuningMethod method) {
  switch (method) {
    case TuningMethod::full:
      break;
    case TuningMethod::lora:
      return "LORA";
    case TuningMethod::ia3:
      return "IA3";
    case TuningMethod::prefix:
      return "PREFIX_TUNING";
    case TuningMethod::prompt:
      return "PROMPT_TUNING";
    case TuningMethod::p_tuning:
      return "P_TUNING";
    case TuningMethod::houlsby:
      return "HOULSBY";
  }
  COLLIE_CHECK(false, "the whole model is no adapter");
}

std::string_view bias_text(TunedBiases biases) {
  if (biases == TunedBiases::none) return "none";
  return biases == TunedBiases::all ? "all" : "lora_only";
}

// PEFT knows no patterns: last parts of the paths where they mean the chosen modules and no other,
// else whole paths.
std::vector<std::string> short_or_whole(const std::vector<std::string>& chosen,
                                        const std::vector<std::string>& all) {
  std::vector<std::string> names;
  for (const std::string& path : chosen) {
    const std::string name = path.substr(path.rfind('.') + 1);
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  const auto meant = std::ranges::count_if(all, [&](const std::string& path) {
    return std::ranges::any_of(names, [&](const auto& name) { return path.ends_with(name); });
  });
  return meant == static_cast<std::ptrdiff_t>(chosen.size()) ? names : chosen;
}

bool has_pattern(const std::vector<std::string>& names) {
  return std::ranges::any_of(names, [](const std::string& name) {
    return name == "all-linear" || name.find('*') != std::string::npos;
  });
}

Json target_modules(const Tuning& tuning, const ModelTraits& traits) {
  if (tuning.targets == std::vector<std::string>{"all-linear"}) return "all-linear";
  if (!tuning.targets.empty() && !has_pattern(tuning.targets)) return tuning.targets;
  Tuning unfiltered = tuning;  // PEFT has keys of their own for what is left out
  unfiltered.layers.clear();
  unfiltered.exclude_modules.clear();
  std::vector<std::string> all, chosen;
  for (const TunableModule& module : adaptable_modules(tuning, traits)) {
    all.push_back(module.path);
    if (is_target(unfiltered, traits, module.path)) chosen.push_back(module.path);
  }
  return short_or_whole(chosen, all);
}

// Null for none.
Json saved_modules(const Tuning& tuning, const ModelTraits& traits) {
  if (tuning.modules_to_save.empty()) return nullptr;
  if (!has_pattern(tuning.modules_to_save)) return tuning.modules_to_save;
  StageSlice whole;
  whole.layer_end = traits.layer_count;
  const Result<std::vector<ParameterSpec>> specs = declare_parameters(traits, whole);
  COLLIE_CHECK(specs.ok(), "the traits have been checked");
  std::vector<std::string> all, chosen;
  for (const ParameterSpec& spec : *specs) {
    const std::string path = module_path(spec);
    if (std::ranges::find(all, path) != all.end()) continue;
    all.push_back(path);
    const auto means = [&](const std::string& target) { return saves_module(target, path); };
    if (std::ranges::any_of(tuning.modules_to_save, means)) chosen.push_back(path);
  }
  return short_or_whole(chosen, all);
}

// PEFT has whole numbers here, mostly.
Json number(double value) {
  if (value == std::floor(value)) return static_cast<std::int64_t>(value);
  return value;
}

void add_lora(const Tuning& tuning, const ModelTraits& traits, Json& config) {
  config["r"] = tuning.rank;
  config["lora_alpha"] = number(tuning.alpha);
  config["lora_dropout"] = tuning.dropout;
  config["use_rslora"] = tuning.rslora;
  config["use_dora"] = tuning.dora;
  config["bias"] = bias_text(tuning.biases);
  config["init_lora_weights"] = tuning.start == LoraStart::gaussian ? Json("gaussian") : Json(true);
  config["alpha_pattern"] = Json::object();
  for (const auto& [name, value] : tuning.alpha_pattern) {
    config["alpha_pattern"][name] = number(value);
  }
  config["rank_pattern"] = Json::object();
  for (const auto& [name, rank] : tuning.rank_pattern) config["rank_pattern"][name] = rank;
  config["fan_in_fan_out"] = traits.family == "gpt2";  // its files hold [in, out]
  config["target_modules"] = target_modules(tuning, traits);
}

// PEFT wants names that are among the targets' names.
Json feedforward_modules(const Json& targets, const Tuning& tuning, const ModelTraits& traits) {
  const std::vector<TunableModule> modules = tunable_modules(traits);
  const auto is_chosen = [&](const TunableModule& module) {
    return is_target(tuning, traits, module.path) && is_feedforward(tuning, traits, module.path);
  };
  std::vector<std::string> all, names;
  for (const TunableModule& module : modules) all.push_back(module.path);
  if (!targets.is_array()) {
    for (const TunableModule& module : modules) {
      if (is_chosen(module)) names.push_back(module.path);
    }
    return short_or_whole(names, all);
  }
  for (const Json& target : targets) {
    const auto name = target.get<std::string>();
    const bool is_feedforward_alone = std::ranges::all_of(modules, [&](const auto& module) {
      return !matches_module(name, module.path) || is_chosen(module);
    });
    if (is_feedforward_alone) names.push_back(name);
  }
  return names;
}

void add_ia3(const Tuning& tuning, const ModelTraits& traits, Json& config) {
  config["init_ia3_weights"] = true;
  config["fan_in_fan_out"] = traits.family == "gpt2";
  config["target_modules"] = target_modules(tuning, traits);
  config["feedforward_modules"] = feedforward_modules(config["target_modules"], tuning, traits);
}

void add_virtual_tokens(const Tuning& tuning, const ModelTraits& traits, Json& config) {
  const bool is_prefix = tuning.method == TuningMethod::prefix;
  config["num_virtual_tokens"] = tuning.virtual_tokens;
  config["token_dim"] = is_prefix ? traits.kv_head_count * traits.head_dim : traits.hidden_size;
  config["num_transformer_submodules"] = 1;
  config["num_attention_heads"] = is_prefix ? traits.kv_head_count : traits.head_count;
  config["num_layers"] = traits.layer_count;
  if (tuning.method == TuningMethod::prompt) config["prompt_tuning_init"] = "RANDOM";
  if (tuning.method == TuningMethod::prompt) return;
  config["encoder_hidden_size"] =
      tuning.projection_size > 0 ? Json(tuning.projection_size) : config["token_dim"];
  if (is_prefix) {
    config["prefix_projection"] = false;  // files hold what a projection makes
    return;
  }
  config["encoder_reparameterization_type"] = "MLP";
  config["encoder_num_layers"] = 2;
  config["encoder_dropout"] = 0.0;
}

bool is_of_net(const ParameterSpec& spec) {
  return spec.name.starts_with("prompt_net.");
}

// In float32; in place of the virtual tokens' table what the net makes of it.
Tensor saved_value(Parameters& parameters, int index, Stream& stream) {
  const bool is_prompt = parameters.specs()[static_cast<std::size_t>(index)].name == "prompt";
  const Tensor value = is_prompt ? Prompt(parameters).embeddings(stream) : parameters.value(index);
  if (value.dtype() == DType::f32) return value;
  Tensor wide = stream.allocate(DType::f32, value.shape());
  kernels::cast(stream, value, wide);
  return wide;
}

}  // namespace

Json adapter_config_json(const Tuning& tuning, const ModelTraits& traits, const std::string& base) {
  Json config = Json::object();
  config["peft_type"] = peft_type(tuning.method);
  config["task_type"] = "CAUSAL_LM";
  config["base_model_name_or_path"] = base.empty() ? Json() : Json(base);
  config["inference_mode"] = true;
  config["modules_to_save"] = saved_modules(tuning, traits);
  if (!tuning.layers.empty()) config["layers_to_transform"] = tuning.layers;
  if (!tuning.exclude_modules.empty()) config["exclude_modules"] = tuning.exclude_modules;
  switch (tuning.method) {
    case TuningMethod::lora:
      add_lora(tuning, traits, config);
      break;
    case TuningMethod::ia3:
      add_ia3(tuning, traits, config);
      break;
    case TuningMethod::houlsby:
      config["bottleneck"] = tuning.bottleneck;
      break;
    default:
      add_virtual_tokens(tuning, traits, config);
      break;
  }
  return config;
}

Status write_adapter(const DirectoryWriter& directory, const Tuning& tuning,
                     const ModelTraits& traits, std::span<Parameters* const> replica,
                     const std::string& base, DType dtype, Stream& stream) {
  ModelAssembler assembler;
  for (Parameters* parameters : replica) {
    for (int index = 0; index < parameters->count(); ++index) {
      ParameterSpec spec = parameters->specs()[static_cast<std::size_t>(index)];
      if (!spec.trainable || parameters->is_alias(index) || !spec.tied_to.empty()) continue;
      if (!parameters->holds_value(index) || is_of_net(spec)) continue;
      spec.hf.tensor =
          spec.name == "prompt" ? "prompt_embeddings" : adapter_tensor_name(tuning, traits, spec);
      assembler.add(spec, saved_value(*parameters, index, stream));
    }
  }
  const std::string config = dump_json(adapter_config_json(tuning, traits, base)) + "\n";
  COLLIE_TRY_VOID(directory.write_file("adapter_config.json", config));
  SaveOptions options;
  options.dtype = dtype;
  options.stem = "adapter_model";
  options.max_shard_bytes = std::numeric_limits<std::uint64_t>::max();  // PEFT reads one file
  return assembler.write_weights(directory, options);
}

}  // namespace collie
