#include "runtime/config.hpp"

#include <algorithm>
#include <set>

#include "runtime/config_fields.hpp"
#include "runtime/file.hpp"
#include "runtime/limits.hpp"
#include "runtime/suggest.hpp"

namespace collie {
namespace {

using config::Choice;
using config::Field;

template <class... Args>
Error config_error(std::string_view source, std::string_view key,
                   fmt::format_string<Args...> format, Args&&... args) {
  return make_error(ErrorCode::invalid_config, "{}: {}: {}", source, key,
                    fmt::format(format, std::forward<Args>(args)...));
}

// ---- the document

const Field* find_field(const std::vector<Field>& fields, std::string_view path) {
  const auto found = std::find_if(fields.begin(), fields.end(),
                                  [&](const Field& field) { return field.path == path; });
  return found == fields.end() ? nullptr : &*found;
}

bool is_section(const std::vector<Field>& fields, std::string_view path) {
  return std::any_of(fields.begin(), fields.end(), [&](const Field& field) {
    return field.path.size() > path.size() && field.path.starts_with(path) &&
           field.path[path.size()] == '.';
  });
}

Error unknown_key(std::string_view source, std::string_view path,
                  const std::vector<Field>& fields) {
  const std::string_view nearest = config::nearest_path(path, fields);
  const std::string hint =
      nearest.empty() ? "--print-config prints all keys" : fmt::format("did you mean {}?", nearest);
  return make_error(ErrorCode::invalid_config, "{}: unknown key {}; {}", source, quoted_name(path),
                    hint);
}

Status refuse_unknown_keys(const Json& json, const std::string& prefix, std::string_view source,
                           const std::vector<Field>& fields) {
  for (const auto& [key, value] : json.items()) {
    const std::string path = prefix + key;
    if (path == "$schema") continue;  // editors look for it
    const bool one_part = key.find('.') == std::string::npos;
    if (one_part && find_field(fields, path) != nullptr) continue;
    if (!one_part || !is_section(fields, path)) return unknown_key(source, path, fields);
    if (!value.is_object()) {
      return config_error(source, path, "expected an object, got {}", describe_json(value));
    }
    COLLIE_TRY_VOID(refuse_unknown_keys(value, path + ".", source, fields));
  }
  return ok_status();
}

Status read_fields(const Json& document, std::string_view source,
                   const std::vector<Field>& fields) {
  for (const Field& field : fields) {
    const Json* json = &document;
    for (const std::string& part : config::split_path(field.path)) {
      const auto found = json->find(part);
      json = found == json->end() ? nullptr : &*found;
      if (json == nullptr) break;
    }
    if (json == nullptr) continue;
    if (const auto fault = config::read_value(field, *json)) {
      return config_error(source, fmt::format("{}{}", field.path, fault->place), "{}",
                          fault->message);
    }
  }
  return ok_status();
}

// ---- overrides

Json override_value(std::string_view text, const Field* field) {
  const bool is_text = field != nullptr && (std::holds_alternative<std::string*>(field->value) ||
                                            std::holds_alternative<Choice>(field->value));
  const auto* items = field == nullptr ? nullptr : std::get_if<config::ItemList>(&field->value);
  const bool is_list =
      field != nullptr && (std::holds_alternative<std::vector<std::string>*>(field->value) ||
                           (items != nullptr && !items->shorthand.empty()) ||
                           std::holds_alternative<config::NameList>(field->value));
  auto json = parse_json(text, "override", limits::config_bytes_max);
  if (!json.ok()) return Json(text);
  const bool is_given = json->is_string() || (is_list && json->is_structured());
  if ((is_text || is_list) && !is_given) {
    return Json(text);
  }
  return std::move(json).value();
}

Status apply_override(Json& document, std::string_view text, const std::vector<Field>& fields) {
  constexpr std::string_view free_section = "model.fresh.";
  constexpr std::string_view source = "override";
  const std::size_t equals = text.find('=');
  const std::string_view path = text.substr(0, equals);
  if (equals == text.npos || path.empty()) {
    return make_error(ErrorCode::invalid_config, "override {}: write it as key=value",
                      describe_json(Json(text)));
  }
  const Field* field = find_field(fields, path);
  if (field == nullptr && is_section(fields, path)) {
    return config_error(source, path, "is a section; set one of its keys");
  }
  if (field == nullptr && !path.starts_with(free_section)) {
    return unknown_key(source, path, fields);
  }
  Json* place = &document;
  const std::vector<std::string> parts = config::split_path(path);
  if (parts.size() > static_cast<std::size_t>(limits::json_depth_max)) {
    return config_error(source, free_section, "more than {} levels", limits::json_depth_max);
  }
  for (const std::string& part : parts) {
    if (place->is_null()) *place = Json::object();
    if (!place->is_object()) {
      return config_error(source, path, "\"{}\" stands below a value that is no object", part);
    }
    place = &(*place)[part];
  }
  *place = override_value(text.substr(equals + 1), field);
  return ok_status();
}

// ---- the whole

Status check_model(const ModelSection& model, std::string_view source) {
  if (model.path.empty() != model.is_fresh()) {
    return config_error(source, "model", "needs either model.path or model.fresh");
  }
  if (model.tokenizer_vocab_size > 0 && (!model.is_fresh() || !model.tokenizer.empty())) {
    return config_error(source, "model.tokenizer_vocab_size",
                        "only for a fresh model without model.tokenizer");
  }
  if (model.is_fresh() && model.tokenizer.empty() && model.tokenizer_vocab_size == 0) {
    return config_error(source, "model.fresh",
                        "needs model.tokenizer, or model.tokenizer_vocab_size to train one");
  }
  constexpr std::int64_t byte_level_min = 257;  // the bytes and the end of text
  if (model.tokenizer_vocab_size > 0 && model.tokenizer_vocab_size < byte_level_min) {
    return config_error(source, "model.tokenizer_vocab_size", "at least {}, got {}", byte_level_min,
                        model.tokenizer_vocab_size);
  }
  return ok_status();
}

Status check_data(const DataSection& data, std::string_view source) {
  if (!data.validation.empty() && data.validation_fraction > 0.0) {
    return config_error(source, "data.validation_fraction", "not together with data.validation");
  }
  for (const std::string* key : {&data.text_key, &data.instruction_key, &data.input_key,
                                 &data.output_key, &data.messages_key}) {
    if (key->empty()) return config_error(source, "data", "a field's name is empty");
  }
  std::set<std::string_view> names;
  for (const DataSource& entry : data.train) {
    if (entry.name.empty() || names.insert(entry.name).second) continue;
    return config_error(source, "data.train", "two sources named {}", quoted_name(entry.name));
  }
  return ok_status();
}

Status check_consistent(const RunConfig& config, std::string_view source) {
  if (const Status safe = safe_component(config.name); !safe.ok()) {
    return config_error(source, "name", "{}", safe.error().message);
  }
  COLLIE_TRY_VOID(check_model(config.model, source));
  COLLIE_TRY_VOID(check_data(config.data, source));
  const TrainSection& train = config.train;
  if (train.max_steps > 0 && train.epochs > 0.0) {
    return config_error(source, "train.epochs", "not together with train.max_steps");
  }
  if (train.warmup_steps > 0 && train.warmup_ratio > 0.0) {
    return config_error(source, "train.warmup_ratio", "not together with train.warmup_steps");
  }
  if (config.eval.every_steps > 0 && config.eval.every_epochs > 0.0) {
    return config_error(source, "eval.every_epochs", "not together with eval.every_steps");
  }
  if (config.checkpoint.every_steps > 0 && config.checkpoint.every_epochs > 0.0) {
    return config_error(source, "checkpoint.every_epochs",
                        "not together with checkpoint.every_steps");
  }
  if (const auto useless = config::useless_key(config)) {
    return config_error(source, useless->place, "{}", useless->message);
  }
  if (train.micro_batch_size * config.data.sequence_length > limits::micro_batch_tokens_max) {
    return config_error(source, "train.micro_batch_size",
                        "{} rows of {} tokens are more than {} tokens in a micro-batch",
                        train.micro_batch_size, config.data.sequence_length,
                        limits::micro_batch_tokens_max);
  }
  if (config.checkpoint.resume.empty()) {
    return config_error(source, "checkpoint.resume", "expected auto, never or a path");
  }
  return ok_status();
}

}  // namespace

Result<RunConfig> parse_config(std::string_view text, std::string_view source,
                               const std::vector<std::string>& overrides) {
  COLLIE_TRY(Json document, parse_json(text, source, limits::config_bytes_max));
  if (!document.is_object()) {
    return make_error(ErrorCode::invalid_config, "{}: expected a JSON object, got {}", source,
                      describe_json(document));
  }
  RunConfig config;
  const std::vector<Field> fields = config::fields_of(config);
  for (const std::string& override_text : overrides) {
    COLLIE_TRY_VOID(apply_override(document, override_text, fields));
  }
  COLLIE_TRY_VOID(refuse_unknown_keys(document, "", source, fields));
  COLLIE_TRY_VOID(read_fields(document, source, fields));
  COLLIE_TRY_VOID(check_consistent(config, source));
  if (config.output.directory.empty()) config.output.directory = "runs/" + config.name;
  return config;
}

Result<RunConfig> load_config(const std::string& path, const std::vector<std::string>& overrides) {
  COLLIE_TRY(const std::string text, read_file(path, limits::config_bytes_max));
  return parse_config(text, path, overrides);
}

Status require_trainable(const RunConfig& config) {
  if (config.data.train.empty()) {
    return make_error(ErrorCode::invalid_config, "data.train: name at least one training file");
  }
  if (config.train.max_steps == 0 && config.train.epochs <= 0.0) {
    return make_error(ErrorCode::invalid_config, "train: set train.max_steps or train.epochs");
  }
  return ok_status();
}

Json to_json(const RunConfig& config) {
  RunConfig copy = config;
  Json document = Json::object();
  for (const Field& field : config::fields_of(copy)) {
    Json* place = &document;
    for (const std::string& part : config::split_path(field.path)) place = &(*place)[part];
    *place = config::value_of(field);
  }
  return document;
}

}  // namespace collie
