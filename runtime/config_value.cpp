#include <algorithm>
#include <cmath>

#include "runtime/config_fields.hpp"

namespace collie::config {
namespace {

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

bool read_value(const Choice& target, const Json& json) {
  if (!json.is_string()) return false;
  const auto found = std::find(target.names.begin(), target.names.end(), json.get<std::string>());
  if (found == target.names.end()) return false;
  target.set(static_cast<std::size_t>(found - target.names.begin()));
  return true;
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
  return std::visit(Overloaded{
                        [](bool*) { return std::string("true or false"); },
                        [](std::string*) { return std::string("a string"); },
                        [](std::vector<std::string>*) {
                          return std::string("a file name or a list of file names");
                        },
                        [](const Integer& target) {
                          return fmt::format("an integer from {} to {}", target.low, target.high);
                        },
                        [](const Number& target) {
                          return fmt::format("a number {} {} and {} {}",
                                             target.low_open ? ">" : ">=", target.low,
                                             target.high_open ? "<" : "<=", target.high);
                        },
                        [](const Choice& target) {
                          return fmt::format("{}{}", target.names.size() > 1 ? "one of " : "",
                                             fmt::join(target.names, ", "));
                        },
                        [](const FreeObject&) { return std::string("an object"); },
                    },
                    field.value);
}

Json value_of(const Field& field) {
  return std::visit(Overloaded{
                        [](const auto* target) { return Json(*target); },
                        [](const Integer& target) { return Json(target.get()); },
                        [](const Number& target) { return Json(*target.value); },
                        [](const Choice& target) { return Json(target.get()); },
                        [](const FreeObject& target) { return *target.value; },
                    },
                    field.value);
}

}  // namespace collie::config
