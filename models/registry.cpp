#include "models/registry.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "runtime/file.hpp"
#include "runtime/json.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

constexpr std::array<const Family*, 5> known_families = {
    &llama_family,    //
    &mistral_family,  //
    &qwen2_family,    //
    &qwen3_family,    //
    &gpt2_family,
};

constexpr std::size_t config_bytes_max = std::size_t{16} << 20;

std::string_view torch_name(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return "bfloat16";
    case DType::f16:
      return "float16";
    default:
      return "float32";
  }
}

const Family* find_family(std::string_view model_type) {
  const auto found =
      std::find_if(known_families.begin(), known_families.end(),
                   [&](const Family* family) { return family->model_type == model_type; });
  return found == known_families.end() ? nullptr : *found;
}

Error unknown_family(const JsonReader& config, const std::string& model_type) {
  std::vector<std::string> names;
  std::string list;
  for (const Family* family : known_families) {
    names.emplace_back(family->model_type);
    list += (list.empty() ? "" : ", ") + names.back();
  }
  return unsupported_key(config, "model_type",
                         fmt::format("{} is not supported, only {}{}", quoted_name(model_type),
                                     list, did_you_mean(model_type, names)));
}

}  // namespace

std::span<const Family* const> families() {
  return known_families;
}

const Family& family_of(const ModelTraits& traits) {
  const Family* family = find_family(traits.family);
  COLLIE_CHECK(family != nullptr, "no family {}", traits.family);
  return *family;
}

Result<ModelTraits> parse_model_config(const Json& config, std::string_view source) {
  COLLIE_TRY(const JsonReader reader, JsonReader::open(config, std::string(source)));
  COLLIE_TRY(const std::string model_type, reader.get_string("model_type"));
  const Family* family = find_family(model_type);
  if (family == nullptr) return unknown_family(reader, model_type);
  return family->read_config(reader);
}

Result<ModelTraits> read_model_config(const std::string& directory) {
  const std::string path = join_path(directory, "config.json");
  if (!exists(path) && exists(join_path(directory, "adapter_config.json"))) {
    return make_error(ErrorCode::invalid_config,
                      "{}: is an adapter, not a model: give the model that it stands beside, and "
                      "this as the adapter",
                      directory);
  }
  COLLIE_TRY(const std::string text, read_file_inside(directory, "config.json", config_bytes_max));
  COLLIE_TRY(const Json config, parse_json(text, path, config_bytes_max));
  return parse_model_config(config, path);
}

Json model_config_json(const ModelTraits& traits, DType weights) {
  Json config = traits.hf_config;
  const Family& family = family_of(traits);
  if (!config.contains("architectures")) {
    config["architectures"] = Json::array({std::string(family.architecture)});
  }
  // transformers 5 writes dtype and reads both; before it only knew torch_dtype.
  if (config.contains("dtype")) {
    config["dtype"] = torch_name(weights);
  }
  if (config.contains("torch_dtype") || !config.contains("dtype")) {
    config["torch_dtype"] = torch_name(weights);
  }
  // The default of transformers is a number that need not fit the heads.
  if (traits.family != "gpt2" && !config.contains("num_key_value_heads")) {
    config["num_key_value_heads"] = traits.kv_head_count;
  }
  return config;
}

}  // namespace collie
