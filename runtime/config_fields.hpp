// The table behind the configuration: one entry for each key, from which reading, writing and the
// schema are derived. Private to config*.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/config.hpp"

namespace collie::config {

// One of a few names.
struct Choice {
  std::vector<std::string_view> names;
  std::function<std::string_view()> get;
  std::function<void(std::size_t)> set;  // by place in names
};

struct Integer {
  std::function<std::int64_t()> get;
  std::function<void(std::int64_t)> set;
  std::int64_t low = 0;
  std::int64_t high = 0;
};

struct Number {
  double* value = nullptr;
  double low = 0.0;
  double high = 0.0;
  bool low_open = false;   // low itself is outside
  bool high_open = false;  // high itself is outside
};

// A number, or null where the default depends on other keys.
struct OptionalNumber {
  std::optional<double>* value = nullptr;
  double low = 0.0;
  double high = 0.0;
  bool low_open = false;
  bool high_open = false;
};

// Several of a few names, each once.
struct NameList {
  std::vector<std::string_view> names;
  std::vector<std::string>* value = nullptr;
};

// Any JSON object, or null; its keys are not ours.
struct FreeObject {
  Json* value = nullptr;
};

// A JSON list of objects whose keys somebody else reads.
struct FreeList {
  Json* value = nullptr;
};

struct Field {
  std::string_view path;  // dotted
  std::variant<bool*, Integer, Number, std::string*, std::vector<std::string>*,
               std::vector<DataSource>*, Choice, NameList, FreeObject, FreeList, OptionalNumber,
               std::optional<bool>*, std::vector<ParameterGroup>*>
      value;
  std::string_view help;
};

// All keys in the order they are printed, bound to this config. It must outlive the table.
std::vector<Field> fields_of(RunConfig& config);

// False where the value has another type or lies out of range; the field may then hold anything.
bool read_value(const Field& field, const Json& json);
// What read_value() accepts, for a message.
std::string expectation(const Field& field);
Json value_of(const Field& field);

// "train.lr" -> {"train", "lr"}.
std::vector<std::string> split_path(std::string_view path);

// The known key most like an unknown one, compared whole and by its last part alone, or the one
// that other trainers call so; empty where none is near.
std::string_view nearest_path(std::string_view path, const std::vector<Field>& fields);

}  // namespace collie::config
