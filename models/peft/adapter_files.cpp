#include "models/peft/adapter_files.hpp"

#include <algorithm>
#include <set>

#include "runtime/json.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

constexpr std::string_view config_name = "adapter_config.json";
constexpr std::string_view weights_stem = "adapter_model";

// Keys that, set to anything but these, mean arithmetic that is not done here.
constexpr std::string_view unsupported_keys[] = {
    "alpha_pattern",           "rank_pattern", "layers_to_transform", "layer_replication",
    "exclude_modules",         "lora_bias",    "target_parameters",   "trainable_token_indices",
    "alora_invocation_tokens", "use_qalora",   "use_bdlora"};

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

Status read_lora(const JsonReader& config, Tuning& tuning) {
  COLLIE_TRY(tuning.rank, config.get_int("r", 1, limits::hidden_size_max));
  COLLIE_TRY(tuning.alpha, config.optional_number("lora_alpha", 8.0, 0.0, 1e6));
  COLLIE_TRY(tuning.dropout, config.optional_number("lora_dropout", 0.0, 0.0, 0.999));
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
    if (known.contains(name)) continue;
    return make_error(ErrorCode::invalid_file, "{}: tensor {} belongs to no trained parameter",
                      directory, quoted_name(name));
  }
  for (int index = 0; index < parameters.count(); ++index) {
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
    if (!spec.trainable || parameters.is_alias(index) || !parameters.holds_value(index)) continue;
    const LocatedTensor* located = files.find(adapter_tensor_name(tuning, traits, spec));
    if (located != nullptr) read_parameter(*located, spec, parameters.value(index));
  }
  parameters.refresh_compute(stream);
  return ok_status();
}

}  // namespace collie
