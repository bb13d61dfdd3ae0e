#include "models/peft/adapter_files.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "models/peft/declare_adapters.hpp"
#include "runtime/json.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

constexpr std::string_view config_name = "adapter_config.json";
constexpr std::string_view weights_stem = "adapter_model";

// Keys that, set to anything but these, mean arithmetic that is not done here.
constexpr std::string_view unsupported_keys[] = {
    "layer_replication",       "lora_bias",  "target_parameters", "trainable_token_indices",
    "alora_invocation_tokens", "use_qalora", "use_bdlora"};

// Starts that do not touch the model beside: these and none at all.
constexpr std::string_view harmless_starts[] = {"gaussian", "eva", "orthogonal"};

bool is_unset(const Json& value) {
  return value.is_null() || value == false ||
         ((value.is_object() || value.is_array()) && value.empty());
}

Result<std::vector<std::string>> string_list(const JsonReader& config, std::string_view key) {
  std::vector<std::string> names;
  const auto found = config.json().find(std::string(key));
  if (found == config.json().end() || found->is_null()) return names;
  if (found->is_string()) {
    if (*found != "all-linear") {
      return config.error(key, "regular expressions are not supported: list the modules");
    }
    return std::vector<std::string>{*found};
  }
  if (!found->is_array()) return config.error(key, "must be a list of names");
  for (const Json& name : *found) {
    if (!name.is_string()) return config.error(key, "must be a list of names");
    names.push_back(name);
  }
  return names;
}

Status read_layers_to_transform(const JsonReader& config, const ModelTraits& traits,
                                Tuning& tuning) {
  const Json* found = config.find("layers_to_transform");
  if (found != nullptr && found->is_number_integer()) {
    COLLIE_TRY(const std::int64_t layer,
               config.get_int("layers_to_transform", 0, limits::layers_max));
    tuning.layers = {layer};
  } else if (found != nullptr) {
    COLLIE_TRY(tuning.layers, config.get_ints("layers_to_transform", 0, limits::layers_max));
  }
  std::vector<std::string> lists;
  const Json* pattern = config.find("layers_pattern");
  if (pattern != nullptr && pattern->is_string()) {
    if (*pattern != "") lists = {pattern->get<std::string>()};
  } else {
    COLLIE_TRY(lists, string_list(config, "layers_pattern"));
  }
  const std::string_view list = traits.family == "gpt2" ? "h" : "layers";
  if (lists.empty() || std::ranges::find(lists, list) != lists.end()) return ok_status();
  return config.error("layers_pattern", fmt::format("must be {}: this model's layers", list));
}

// {module: number}. PEFT reads the names as regular expressions.
Status read_pattern_of(const JsonReader& config, std::string_view key, double low, double high,
                       std::vector<std::pair<std::string, double>>& pattern) {
  if (!config.has(key)) return ok_status();
  COLLIE_TRY(const JsonReader object, config.get_object(key));
  for (const auto& [name, value] : object.json().items()) {
    if (name.find_first_of("^$()[]{}|+?*\\") != name.npos) {
      return config.error(key, fmt::format("{} is a regular expression, which is not supported: "
                                           "name the modules",
                                           quoted_name(name)));
    }
    COLLIE_TRY(const double number, object.get_number(name, low, high));
    pattern.emplace_back(name, number);
  }
  return ok_status();
}

// What other starts leave in the file belongs to a model that they have changed.
Status read_start(const JsonReader& config, Tuning& tuning) {
  const Json* found = config.find("init_lora_weights");
  if (found == nullptr || found->is_boolean()) return ok_status();
  COLLIE_TRY(const std::string start, config.get_string("init_lora_weights"));
  if (std::ranges::find(harmless_starts, start) == std::end(harmless_starts)) {
    return config.error("init_lora_weights",
                        fmt::format("{} changes the model beside the adapter, which is not "
                                    "supported: save it with path_initial_model_for_weight_"
                                    "conversion, as a plain adapter",
                                    quoted_name(start)));
  }
  if (start == "gaussian") tuning.start = LoraStart::gaussian;
  return ok_status();
}

Status read_patterns(const JsonReader& config, Tuning& tuning) {
  std::vector<std::pair<std::string, double>> ranks;
  COLLIE_TRY_VOID(read_pattern_of(config, "rank_pattern", 1.0, limits::hidden_size_max, ranks));
  for (const auto& [name, rank] : ranks) {
    if (rank != std::floor(rank)) return config.error("rank_pattern", "ranks are whole numbers");
    tuning.rank_pattern.emplace_back(name, static_cast<std::int64_t>(rank));
  }
  return read_pattern_of(config, "alpha_pattern", 0.0, 1e6, tuning.alpha_pattern);
}

Status read_lora(const JsonReader& config, Tuning& tuning) {
  COLLIE_TRY(tuning.rank, config.get_int("r", 1, limits::hidden_size_max));
  COLLIE_TRY(tuning.alpha, config.optional_number("lora_alpha", 8.0, 0.0, 1e6));
  COLLIE_TRY(tuning.dropout, config.optional_number("lora_dropout", 0.0, 0.0, 0.999));
  COLLIE_TRY_VOID(read_patterns(config, tuning));
  COLLIE_TRY_VOID(read_start(config, tuning));
  COLLIE_TRY(tuning.rslora, config.optional_bool("use_rslora", false));
  COLLIE_TRY(tuning.dora, config.optional_bool("use_dora", false));
  COLLIE_TRY(const std::string bias, config.optional_string("bias", "none"));
  if (bias == "all") {
    tuning.biases = TunedBiases::all;
  } else if (bias == "lora_only") {
    tuning.biases = TunedBiases::lora_only;
  } else if (bias != "none") {
    return config.error("bias", fmt::format("{} is not none, all or lora_only", quoted_name(bias)));
  }
  return ok_status();
}

Status read_virtual_tokens(const JsonReader& config, Tuning& tuning) {
  COLLIE_TRY(tuning.virtual_tokens,
             config.get_int("num_virtual_tokens", 1, limits::sequence_length_max));
  const auto copies = config.json().find("num_transformer_submodules");
  if (copies == config.json().end() || copies->is_null() || *copies == 1) return ok_status();
  return config.error("num_transformer_submodules", "must be 1: the model is a decoder alone");
}

// Files hold what the net of a prompt made, not the net: such are read as tables of their own.
Status read_method(const JsonReader& config, Tuning& tuning) {
  COLLIE_TRY(const std::string type, config.get_string("peft_type"));
  if (type == "LORA") {
    tuning.method = TuningMethod::lora;
    return read_lora(config, tuning);
  }
  if (type == "IA3") {
    tuning.method = TuningMethod::ia3;
    COLLIE_TRY(tuning.feedforward, string_list(config, "feedforward_modules"));
    if (tuning.feedforward.empty()) tuning.feedforward = {std::string(no_modules)};
    return ok_status();
  }
  if (type == "PROMPT_TUNING" || type == "P_TUNING" || type == "PREFIX_TUNING") {
    tuning.method = type == "PREFIX_TUNING" ? TuningMethod::prefix : TuningMethod::prompt;
    return read_virtual_tokens(config, tuning);
  }
  if (type == "HOULSBY") {
    tuning.method = TuningMethod::houlsby;
    COLLIE_TRY(tuning.bottleneck, config.get_int("bottleneck", 1, limits::hidden_size_max));
    return ok_status();
  }
  return config.error("peft_type",
                      fmt::format("{} is not supported; known: LORA, IA3, PREFIX_TUNING, "
                                  "PROMPT_TUNING, P_TUNING, HOULSBY",
                                  quoted_name(type)));
}

// PEFT saves an adapted embedding and head with their adapters ("save_embedding_layers"): copies of
// the base model's own, which are frozen.
bool is_copy_of_base(const Tuning& tuning, const ModelTraits& traits, std::string_view name) {
  constexpr std::string_view ending = ".base_layer.weight";
  if (!name.starts_with(adapter_file_prefix) || !name.ends_with(ending)) return false;
  name.remove_prefix(adapter_file_prefix.size());
  name.remove_suffix(ending.size());
  return std::ranges::any_of(adaptable_modules(tuning, traits), [&](const TunableModule& module) {
    return layer_of_module(module.path) < 0 && module.path == name &&
           is_target(tuning, traits, name);
  });
}

// Embeddings that were trained or resized beside the adapter are no copies.
Status check_copy_of_base(const TensorDirectory& files, const Parameters& parameters, int index,
                          Stream& stream) {
  const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
  if (spec.name != "embedding" && spec.name != "head") return ok_status();
  const std::string name =
      fmt::format("{}{}.base_layer.weight", adapter_file_prefix, adapted_path(spec));
  const LocatedTensor* located = files.find(name);
  if (located == nullptr) return ok_status();
  const Tensor base = parameters.value(index);
  bool is_same = located->entry->shape == file_shape(spec);
  if (is_same) {
    const Tensor copy = stream.allocate(base.dtype(), base.shape());
    read_parameter(*located, spec, copy);
    is_same = std::memcmp(copy.raw(), base.raw(), base.size_bytes()) == 0;
  }
  if (is_same) return ok_status();
  return make_error(ErrorCode::invalid_file,
                    "{}: {} is not the base model's: save what is trained or resized with "
                    "modules_to_save, or name the resized model as the base",
                    files.path(), name);
}

}  // namespace

Result<Tuning> read_adapter_config(const std::string& directory, const ModelTraits& traits) {
  const std::string path = join_path(directory, config_name);
  COLLIE_TRY(const std::string text,
             read_file_inside(directory, config_name, limits::json_bytes_max));
  COLLIE_TRY(const Json json, parse_json(text, path, limits::json_bytes_max));
  COLLIE_TRY(const JsonReader config, JsonReader::open(json, path));
  for (const std::string_view key : unsupported_keys) {
    const auto found = json.find(std::string(key));
    if (found != json.end() && !is_unset(*found)) return config.error(key, "is not supported");
  }
  Tuning tuning;
  COLLIE_TRY_VOID(read_method(config, tuning));
  COLLIE_TRY(tuning.targets, string_list(config, "target_modules"));
  COLLIE_TRY(tuning.modules_to_save, string_list(config, "modules_to_save"));
  COLLIE_TRY(tuning.exclude_modules, string_list(config, "exclude_modules"));
  COLLIE_TRY_VOID(read_layers_to_transform(config, traits, tuning));
  Status fits = check_tuning(tuning, traits);
  if (!fits) {
    return make_error(ErrorCode::invalid_file, "{}: is not of this model: {}", path,
                      fits.error().message);
  }
  return tuning;
}

Status load_adapter(const std::string& directory, const Tuning& tuning, const ModelTraits& traits,
                    Parameters& parameters, Stream& stream) {
  COLLIE_TRY(const TensorDirectory files, TensorDirectory::open(directory, weights_stem));
  std::set<std::string> known;
  for (const ParameterSpec& spec : tuned_parameters(tuning, traits)) {
    known.insert(spec.hf.tensor);
    const LocatedTensor* located = files.find(spec.hf.tensor);
    if (located == nullptr || located->entry->shape != file_shape(spec)) {
      return make_error(ErrorCode::invalid_file, "{}: {} {}: use the adapter of this model",
                        directory, spec.hf.tensor,
                        located == nullptr ? "is missing" : "has another shape");
    }
  }
  for (const std::string& name : files.names()) {
    if (known.contains(name) || is_copy_of_base(tuning, traits, name)) continue;
    return make_error(ErrorCode::invalid_file, "{}: tensor {} belongs to no trained parameter",
                      directory, quoted_name(name));
  }
  for (int index = 0; index < parameters.count(); ++index) {
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
    if (!parameters.is_alias(index) && parameters.holds_value(index)) {
      COLLIE_TRY_VOID(check_copy_of_base(files, parameters, index, stream));
    }
    if (!spec.trainable || parameters.is_alias(index) || !parameters.holds_value(index)) continue;
    const LocatedTensor* located = files.find(adapter_tensor_name(tuning, traits, spec));
    if (located != nullptr) read_parameter(*located, spec, parameters.value(index));
  }
  parameters.refresh_compute(stream);
  return ok_status();
}

}  // namespace collie
