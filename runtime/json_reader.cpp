#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "runtime/json.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

constexpr std::size_t described_bytes_max = 60;
constexpr std::size_t known_keys_shown_max = 12;
constexpr double exact_integer_max = 9007199254740992.0;  // 2^53

template <class T>
std::string in_range(std::string_view kind, T min, T max) {
  const bool low = min > std::numeric_limits<T>::lowest();
  const bool high = max < std::numeric_limits<T>::max();
  if (low && high) return fmt::format("{} from {} to {}", kind, min, max);
  if (low) return fmt::format("{} >= {}", kind, min);
  if (high) return fmt::format("{} <= {}", kind, max);
  return std::string(kind);
}

std::optional<std::int64_t> integer_of(const Json& json) {
  if (json.is_number_unsigned()) {
    const auto value = json.get<std::uint64_t>();
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return {};
    return static_cast<std::int64_t>(value);
  }
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (!json.is_number_float()) return {};
  const auto value = json.get<double>();
  if (std::abs(value) > exact_integer_max || value != std::trunc(value)) return {};
  return static_cast<std::int64_t>(value);
}

}  // namespace

std::string describe_json(const Json& json) {
  if (json.is_array()) return fmt::format("an array of {}", json.size());
  if (json.is_object()) return "an object";
  std::string text = json.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() <= described_bytes_max) return text;
  return text.substr(0, described_bytes_max - 3) + "...";
}

Result<JsonReader> JsonReader::open(const Json& json, std::string file, std::string path,
                                    ErrorCode code) {
  if (!json.is_object()) {
    return make_error(code, "{}: {}expected an object, got {}", file,
                      path.empty() ? "" : path + ": ", describe_json(json));
  }
  return JsonReader(json, std::move(file), std::move(path), code);
}

const Json* JsonReader::find(std::string_view key) const {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.emplace_back(key);
  for (const auto& [name, value] : json_->get_ref<const Json::object_t&>()) {
    if (name == key) return value.is_null() ? nullptr : &value;
  }
  return nullptr;
}

Result<const Json*> JsonReader::require(std::string_view key, std::string_view wanted) const {
  const Json* value = find(key);
  if (value != nullptr) return value;
  return error(key, fmt::format("missing; expected {}", wanted));
}

Result<std::int64_t> JsonReader::get_int(std::string_view key, std::int64_t min,
                                         std::int64_t max) const {
  const std::string wanted = in_range("an integer", min, max);
  COLLIE_TRY(const Json* json, require(key, wanted));
  const std::optional<std::int64_t> value = integer_of(*json);
  if (!value || *value < min || *value > max) return mismatch(key, wanted, *json);
  return *value;
}

Result<std::int64_t> JsonReader::optional_int(std::string_view key, std::int64_t otherwise,
                                              std::int64_t min, std::int64_t max) const {
  if (!has(key)) return otherwise;
  return get_int(key, min, max);
}

Result<double> JsonReader::get_number(std::string_view key, double min, double max) const {
  const std::string wanted = in_range("a number", min, max);
  COLLIE_TRY(const Json* json, require(key, wanted));
  if (!json->is_number()) return mismatch(key, wanted, *json);
  const auto value = json->get<double>();
  if (!(value >= min && value <= max)) return mismatch(key, wanted, *json);
  return value;
}

Result<double> JsonReader::optional_number(std::string_view key, double otherwise, double min,
                                           double max) const {
  if (!has(key)) return otherwise;
  return get_number(key, min, max);
}

Result<bool> JsonReader::get_bool(std::string_view key) const {
  COLLIE_TRY(const Json* json, require(key, "true or false"));
  if (!json->is_boolean()) return mismatch(key, "true or false", *json);
  return json->get<bool>();
}

Result<bool> JsonReader::optional_bool(std::string_view key, bool otherwise) const {
  if (!has(key)) return otherwise;
  return get_bool(key);
}

Result<std::string> JsonReader::get_string(std::string_view key) const {
  COLLIE_TRY(const Json* json, require(key, "a string"));
  if (!json->is_string()) return mismatch(key, "a string", *json);
  return json->get_ref<const std::string&>();
}

Result<std::string> JsonReader::optional_string(std::string_view key,
                                                std::string_view otherwise) const {
  if (!has(key)) return std::string(otherwise);
  return get_string(key);
}

Result<const Json*> JsonReader::get_array(std::string_view key) const {
  COLLIE_TRY(const Json* json, require(key, "an array"));
  if (!json->is_array()) return mismatch(key, "an array", *json);
  return json;
}

Result<std::vector<std::int64_t>> JsonReader::get_ints(std::string_view key, std::int64_t min,
                                                       std::int64_t max) const {
  COLLIE_TRY(const Json* json, get_array(key));
  std::vector<std::int64_t> values;
  for (const Json& item : *json) {
    const std::optional<std::int64_t> value = integer_of(item);
    if (!value || *value < min || *value > max) {
      return mismatch(fmt::format("{}.{}", key, values.size()), in_range("an integer", min, max),
                      item);
    }
    values.push_back(*value);
  }
  return values;
}

Result<std::vector<std::string>> JsonReader::get_strings(std::string_view key) const {
  COLLIE_TRY(const Json* json, get_array(key));
  std::vector<std::string> values;
  for (const Json& item : *json) {
    if (!item.is_string()) {
      return mismatch(fmt::format("{}.{}", key, values.size()), "a string", item);
    }
    values.push_back(item.get_ref<const std::string&>());
  }
  return values;
}

Result<JsonReader> JsonReader::get_object(std::string_view key) const {
  COLLIE_TRY(const Json* json, require(key, "an object"));
  return open(*json, file_, path_of(key), code_);
}

Status JsonReader::refuse_unknown_keys() const {
  for (const auto& [name, value] : json_->get_ref<const Json::object_t&>()) {
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    std::string hint = did_you_mean(name, known_);
    if (hint.empty() && known_.empty()) {
      hint = "; it takes none";
    } else if (hint.empty() && known_.size() <= known_keys_shown_max) {
      hint = fmt::format("; known keys are {}", fmt::join(known_, ", "));
    }
    return make_error(code_, "{}: {}unknown key {}{}", file_, path_.empty() ? "" : path_ + ": ",
                      quoted_name(name), hint);
  }
  return ok_status();
}

Error JsonReader::error(std::string_view key, std::string_view message) const {
  return make_error(code_, "{}: {}: {}", file_, path_of(key), message);
}

Error JsonReader::mismatch(std::string_view key, std::string_view wanted, const Json& got) const {
  return error(key, fmt::format("expected {}, got {}", wanted, describe_json(got)));
}

std::string JsonReader::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

}  // namespace collie
