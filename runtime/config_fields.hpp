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

struct Field;

// A list of objects; each key of an item is a field whose path is that key.
struct ItemList {
  std::size_t most = 0;
  std::vector<std::string_view> required{};  // keys that an item must have, not empty
  std::string_view shorthand{};              // a string for an item is this key's value
  bool bare = false;                         // one item may stand without the list
  bool open = false;                         // items may have keys that are not ours
  std::size_t text_bytes_max = 0;            // of strings in items; 0: any
  std::function<void()> clear{};
  // Adds an item and gives the fields that read it, good until the next call.
  std::function<std::vector<Field>(const Json&)> append{};
  std::function<std::vector<Field>()> shape{};  // fields of an item that is in no list
  std::function<Json()> get{};
};

struct Field {
  std::string_view path;  // dotted
  std::variant<bool*, Integer, Number, std::string*, std::vector<std::string>*, Choice, NameList,
               FreeObject, OptionalNumber, std::optional<bool>*, ItemList>
      value;
  std::string_view help;
  bool has_default = true;  // of a key within an item: whether there is one to name
};

// In config_items.cpp.
ItemList data_sources(std::vector<DataSource>& sources);
ItemList parameter_groups(std::vector<ParameterGroup>& groups);
ItemList evaluator_items(Json& evaluators);

// All keys in the order they are printed, bound to this config. It must outlive the table.
std::vector<Field> fields_of(RunConfig& config);

// What is wrong with a value, and where below its key: "[2].weight".
struct Fault {
  std::string place;
  std::string message;
};

// A fault where the value has another type or lies out of range; the field may then hold anything.
std::optional<Fault> read_value(const Field& field, const Json& json);
std::optional<Fault> read_items(const ItemList& list, const Json& json);
// What read_value() accepts, for a message.
std::string expectation(const Field& field);
std::string expectation_of_items(const ItemList& list);
// "expected ..., got ...; did you mean ...".
Fault mismatch(const Field& field, const Json& json);
Json value_of(const Field& field);

// The first key that was given and is not read with what else was chosen; place is the whole key.
// In config_effects.cpp.
std::optional<Fault> useless_key(const RunConfig& config);

// "train.lr" -> {"train", "lr"}.
std::vector<std::string> split_path(std::string_view path);

// The known key most like an unknown one, compared whole and by its last part alone, or the one
// that other trainers call so; empty where none is near.
std::string_view nearest_path(std::string_view path, const std::vector<Field>& fields);

}  // namespace collie::config
