#include <algorithm>
#include <cmath>

#include "runtime/config_fields.hpp"
#include "runtime/limits.hpp"
#include "runtime/suggest.hpp"

namespace collie::config {
namespace {

template <class... Kinds>
struct Overloaded : Kinds... {
  using Kinds::operator()...;
};
template <class... Kinds>
Overloaded(Kinds...) -> Overloaded<Kinds...>;

bool read_scalar(bool* target, const Json& json) {
  if (json.is_boolean()) *target = json.get<bool>();
  return json.is_boolean();
}

bool read_scalar(std::string* target, const Json& json) {
  if (!json.is_string()) return false;
  *target = json.get<std::string>();
  return target->find('\0') == std::string::npos;
}

bool read_scalar(std::vector<std::string>* target, const Json& json) {
  target->clear();
  if (json.is_string()) return read_scalar(&target->emplace_back(), json);
  if (!json.is_array()) return false;
  return std::all_of(json.begin(), json.end(), [&](const Json& item) {
    return read_scalar(&target->emplace_back(), item) && !target->back().empty();
  });
}

bool read_scalar(const Integer& target, const Json& json) {
  if (!json.is_number()) return false;
  const auto number = json.get<double>();  // exact within the bounds, which end at 2^53
  if (number != std::floor(number) || number < static_cast<double>(target.low) ||
      number > static_cast<double>(target.high)) {
    return false;
  }
  target.set(static_cast<std::int64_t>(number));
  return true;
}

bool read_scalar(const Number& target, const Json& json) {
  if (!json.is_number()) return false;
  const auto number = json.get<double>();
  if (!(target.low_open ? number > target.low : number >= target.low)) return false;
  if (!(target.high_open ? number < target.high : number <= target.high)) return false;
  *target.value = number;
  return true;
}

bool read_scalar(const OptionalNumber& target, const Json& json) {
  target.value->reset();
  if (json.is_null()) return true;
  double number = 0.0;
  const Number plain{&number, target.low, target.high, target.low_open, target.high_open};
  if (!read_scalar(plain, json)) return false;
  *target.value = number;
  return true;
}

bool read_scalar(std::optional<bool>* target, const Json& json) {
  target->reset();
  if (json.is_boolean()) *target = json.get<bool>();
  return json.is_boolean() || json.is_null();
}

bool read_scalar(const Choice& target, const Json& json) {
  if (!json.is_string()) return false;
  const auto found = std::find(target.names.begin(), target.names.end(), json.get<std::string>());
  if (found == target.names.end()) return false;
  target.set(static_cast<std::size_t>(found - target.names.begin()));
  return true;
}

bool read_scalar(const NameList& target, const Json& json) {
  if (!read_scalar(target.value, json)) return false;
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

bool read_scalar(const FreeObject& target, const Json& json) {
  *target.value = json;
  return json.is_object() || json.is_null();
}

// The first element that a list of texts or names cannot have; none in other fields.
std::optional<Fault> element_fault(const Field& field, const Json& list) {
  const auto* names = std::get_if<NameList>(&field.value);
  if (names == nullptr && !std::holds_alternative<std::vector<std::string>*>(field.value)) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string place = fmt::format("[{}]", i);
    std::string text;
    Choice one{names != nullptr ? names->names : std::vector<std::string_view>{}, {}, [](auto) {}};
    if (names != nullptr && !read_scalar(one, list[i])) {
      return Fault{place, mismatch({"", std::move(one), ""}, list[i]).message};
    }
    if (names != nullptr && std::find(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(i),
                                      list[i]) != list.begin() + static_cast<std::ptrdiff_t>(i)) {
      return Fault{place, fmt::format("{} stands there twice", describe_json(list[i]))};
    }
    if (!read_scalar(&text, list[i]) || text.empty()) {
      return Fault{place, fmt::format("expected a string that is not empty, got {}",
                                      describe_json(list[i]))};
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<Fault> read_value(const Field& field, const Json& json) {
  if (const auto* items = std::get_if<ItemList>(&field.value)) return read_items(*items, json);
  const bool is_read =
      std::visit(Overloaded{[](const ItemList&) { return false; },
                            [&](const auto& target) { return read_scalar(target, json); }},
                 field.value);
  if (is_read) return std::nullopt;
  if (json.is_array()) {
    if (auto fault = element_fault(field, json)) return fault;
  }
  return mismatch(field, json);
}

Fault mismatch(const Field& field, const Json& json) {
  const auto* choice = std::get_if<Choice>(&field.value);
  std::string hint;
  if (choice != nullptr && json.is_string()) {
    const std::vector<std::string> names(choice->names.begin(), choice->names.end());
    hint = did_you_mean(json.get<std::string>(), names);
  }
  return {"", fmt::format("expected {}, got {}{}", expectation(field), describe_json(json), hint)};
}

std::string expectation(const Field& field) {
  return std::visit(
      Overloaded{
          [](bool*) { return std::string("true or false"); },
          [](std::string*) { return std::string("a string"); },
          [](std::vector<std::string>*) { return std::string("a string or a list of strings"); },
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
          [](const OptionalNumber& target) {
            return fmt::format("null or a number {} {} and {} {}",
                               target.low_open ? ">" : ">=", target.low,
                               target.high_open ? "<" : "<=", target.high);
          },
          [](std::optional<bool>*) { return std::string("true, false or null"); },
          [](const ItemList& list) { return expectation_of_items(list); },
      },
      field.value);
}

Json value_of(const Field& field) {
  return std::visit(Overloaded{
                        [](const auto* target) { return Json(*target); },
                        [](const Integer& target) { return Json(target.get()); },
                        [](const Number& target) { return Json(*target.value); },
                        [](const Choice& target) { return Json(target.get()); },
                        [](const NameList& target) { return Json(*target.value); },
                        [](const FreeObject& target) { return *target.value; },
                        [](const OptionalNumber& target) {
                          return *target.value ? Json(**target.value) : Json(nullptr);
                        },
                        [](const std::optional<bool>* target) {
                          return *target ? Json(**target) : Json(nullptr);
                        },
                        [](const ItemList& list) { return list.get(); },
                    },
                    field.value);
}

}  // namespace collie::config
