#include <algorithm>
#include <cmath>

#include "runtime/config_fields.hpp"
#include "runtime/limits.hpp"

namespace collie::config {
namespace {

constexpr double weight_max = 1e6;

template <class... Kinds>
struct Overloaded : Kinds... {
  using Kinds::operator()...;
};
template <class... Kinds>
Overloaded(Kinds...) -> Overloaded<Kinds...>;

bool read_value(bool* target, const Json& json) {
  if (json.is_boolean()) *target = json.get<bool>();
  return json.is_boolean();
}

bool read_value(std::string* target, const Json& json) {
  if (!json.is_string()) return false;
  *target = json.get<std::string>();
  return target->find('\0') == std::string::npos;
}

bool read_value(std::vector<std::string>* target, const Json& json) {
  target->clear();
  if (json.is_string()) return read_value(&target->emplace_back(), json);
  if (!json.is_array()) return false;
  return std::all_of(json.begin(), json.end(), [&](const Json& item) {
    return read_value(&target->emplace_back(), item) && !target->back().empty();
  });
}

bool read_value(const Integer& target, const Json& json) {
  if (!json.is_number()) return false;
  const auto number = json.get<double>();  // exact within the bounds, which end at 2^53
  if (number != std::floor(number) || number < static_cast<double>(target.low) ||
      number > static_cast<double>(target.high)) {
    return false;
  }
  target.set(static_cast<std::int64_t>(number));
  return true;
}

bool read_value(const Number& target, const Json& json) {
  if (!json.is_number()) return false;
  const auto number = json.get<double>();
  if (!(target.low_open ? number > target.low : number >= target.low)) return false;
  if (!(target.high_open ? number < target.high : number <= target.high)) return false;
  *target.value = number;
  return true;
}

bool read_source(DataSource& source, const Json& json) {
  if (json.is_string()) return read_value(&source.path, json) && !source.path.empty();
  if (!json.is_object()) return false;
  for (const auto& [key, value] : json.items()) {
    if (key == "path" && read_value(&source.path, value)) continue;
    if (key == "name" && read_value(&source.name, value)) continue;
    if (key != "weight" || !read_value(Number{&source.weight, 0.0, weight_max, true}, value)) {
      return false;
    }
  }
  return !source.path.empty();
}

bool read_value(std::vector<DataSource>* target, const Json& json) {
  target->clear();
  if (!json.is_array()) return read_source(target->emplace_back(), json);
  return std::all_of(json.begin(), json.end(),
                     [&](const Json& item) { return read_source(target->emplace_back(), item); });
}

Json json_of(const std::vector<DataSource>& sources) {
  Json list = Json::array();
  for (const DataSource& source : sources) {
    if (source.weight == 0.0 && source.name.empty()) {
      list.push_back(source.path);
      continue;
    }
    Json entry = {{"path", source.path}};
    if (source.weight > 0.0) entry["weight"] = source.weight;
    if (!source.name.empty()) entry["name"] = source.name;
    list.push_back(std::move(entry));
  }
  return list;
}

bool read_value(const OptionalNumber& target, const Json& json) {
  target.value->reset();
  if (json.is_null()) return true;
  double number = 0.0;
  const Number plain{&number, target.low, target.high, target.low_open, target.high_open};
  if (!read_value(plain, json)) return false;
  *target.value = number;
  return true;
}

bool read_value(std::optional<bool>* target, const Json& json) {
  target->reset();
  if (json.is_boolean()) *target = json.get<bool>();
  return json.is_boolean() || json.is_null();
}

bool read_group(ParameterGroup& group, const Json& json) {
  if (!json.is_object() || !json.contains("pattern")) return false;
  return std::ranges::all_of(json.items(), [&](const auto& item) {
    const std::string& key = item.key();
    if (key == "pattern") {
      return read_value(&group.pattern, item.value()) && !group.pattern.empty() &&
             group.pattern.size() <= limits::group_pattern_bytes_max;
    }
    if (key == "lr_scale") return read_value(Number{&group.lr_scale, 0.0, 1e6}, item.value());
    std::optional<double>* value = key == "weight_decay" ? &group.weight_decay
                                   : key == "beta1"      ? &group.beta1
                                   : key == "beta2"      ? &group.beta2
                                                         : nullptr;
    const bool is_beta = key != "weight_decay";
    return value != nullptr &&
           read_value(OptionalNumber{value, 0.0, is_beta ? 1.0 : 100.0, false, is_beta},
                      item.value());
  });
}

bool read_value(std::vector<ParameterGroup>* target, const Json& json) {
  target->clear();
  if (!json.is_array() || json.size() > limits::parameter_groups_max) return false;
  return std::all_of(json.begin(), json.end(),
                     [&](const Json& item) { return read_group(target->emplace_back(), item); });
}

Json group_json(const ParameterGroup& group) {
  Json json = {{"pattern", group.pattern}, {"lr_scale", group.lr_scale}};
  if (group.weight_decay) json["weight_decay"] = *group.weight_decay;
  if (group.beta1) json["beta1"] = *group.beta1;
  if (group.beta2) json["beta2"] = *group.beta2;
  return json;
}

bool read_value(const Choice& target, const Json& json) {
  if (!json.is_string()) return false;
  const auto found = std::find(target.names.begin(), target.names.end(), json.get<std::string>());
  if (found == target.names.end()) return false;
  target.set(static_cast<std::size_t>(found - target.names.begin()));
  return true;
}

bool read_value(const NameList& target, const Json& json) {
  if (!read_value(target.value, json)) return false;
  for (std::size_t i = 0; i < target.value->size(); ++i) {
    const std::string& name = (*target.value)[i];
    const auto end = target.value->begin() + static_cast<std::ptrdiff_t>(i);
    if (std::find(target.value->begin(), end, name) != end) return false;
    if (std::find(target.names.begin(), target.names.end(), name) == target.names.end()) {
      return false;
    }
  }
  return true;
}

bool read_value(const FreeList& target, const Json& json) {
  *target.value = json;
  return json.is_array() && json.size() <= limits::evaluators_max &&
         std::ranges::all_of(json, [](const Json& item) { return item.is_object(); });
}

bool read_value(const FreeObject& target, const Json& json) {
  *target.value = json;
  return json.is_object() || json.is_null();
}

}  // namespace

bool read_value(const Field& field, const Json& json) {
  return std::visit([&](const auto& target) { return read_value(target, json); }, field.value);
}

std::string expectation(const Field& field) {
  return std::visit(
      Overloaded{
          [](bool*) { return std::string("true or false"); },
          [](std::string*) { return std::string("a string"); },
          [](std::vector<std::string>*) { return std::string("a string or a list of strings"); },
          [](std::vector<DataSource>*) {
            return fmt::format(
                "a file name or a list of file names and {{path, weight, name}} with weights up to "
                "{}",
                weight_max);
          },
          [](const Integer& target) {
            return fmt::format("an integer from {} to {}", target.low, target.high);
          },
          [](const Number& target) {
            return fmt::format("a number {} {} and {} {}", target.low_open ? ">" : ">=", target.low,
                               target.high_open ? "<" : "<=", target.high);
          },
          [](const Choice& target) {
            return fmt::format("{}{}", target.names.size() > 1 ? "one of " : "",
                               fmt::join(target.names, ", "));
          },
          [](const NameList& target) {
            return fmt::format("a list of {}, each at most once", fmt::join(target.names, ", "));
          },
          [](const FreeObject&) { return std::string("an object"); },
          [](const FreeList&) {
            return fmt::format("a list of at most {} objects", limits::evaluators_max);
          },
          [](const OptionalNumber& target) {
            return fmt::format("null or a number {} {} and {} {}",
                               target.low_open ? ">" : ">=", target.low,
                               target.high_open ? "<" : "<=", target.high);
          },
          [](std::optional<bool>*) { return std::string("true, false or null"); },
          [](std::vector<ParameterGroup>*) {
            return fmt::format(
                "a list of at most {} objects {{pattern, lr_scale, weight_decay, "
                "beta1, beta2}}, each with a pattern",
                limits::parameter_groups_max);
          },
      },
      field.value);
}

Json value_of(const Field& field) {
  return std::visit(Overloaded{
                        [](const auto* target) { return Json(*target); },
                        [](std::vector<DataSource>* target) { return json_of(*target); },
                        [](const Integer& target) { return Json(target.get()); },
                        [](const Number& target) { return Json(*target.value); },
                        [](const Choice& target) { return Json(target.get()); },
                        [](const NameList& target) { return Json(*target.value); },
                        [](const FreeObject& target) { return *target.value; },
                        [](const FreeList& target) { return *target.value; },
                        [](const OptionalNumber& target) {
                          return *target.value ? Json(**target.value) : Json(nullptr);
                        },
                        [](const std::optional<bool>* target) {
                          return *target ? Json(**target) : Json(nullptr);
                        },
                        [](const std::vector<ParameterGroup>* target) {
                          Json list = Json::array();
                          for (const ParameterGroup& group : *target) {
                            list.push_back(group_json(group));
                          }
                          return list;
                        },
                    },
                    field.value);
}

}  // namespace collie::config
