// What the tables of keys are made with. Private to config_fields*.cpp.
#pragma once

#include <algorithm>

#include "runtime/config_fields.hpp"

namespace collie::config {

inline constexpr std::int64_t count_max = std::int64_t{1}
                                          << 53;  // exact as a JSON number everywhere

template <class T>
Integer integer(T& value, std::int64_t low, std::int64_t high = count_max) {
  return {[&value] { return static_cast<std::int64_t>(value); },
          [&value](std::int64_t read) { value = static_cast<T>(read); }, low, high};
}

// For enums: names in the order of their values.
template <class T>
Choice choice(T& value, const std::vector<std::pair<T, std::string_view>>& names) {
  Choice result;
  for (const auto& [_, name] : names) result.names.push_back(name);
  result.get = [&value, names] {
    const auto found = std::find_if(names.begin(), names.end(),
                                    [&](const auto& entry) { return entry.first == value; });
    COLLIE_CHECK(found != names.end(), "a value that has no name");
    return found->second;
  };
  result.set = [&value, names](std::size_t place) { value = names[place].first; };
  return result;
}

// For names that a registry further up resolves.
inline Choice choice(std::string& value, const std::vector<std::string_view>& names) {
  return {names, [&value] { return std::string_view(value); },
          [&value, names](std::size_t place) { value = names[place]; }};
}

using Fields = std::vector<Field>;

// In config_fields_training.cpp.
void append_train(Fields& fields, TrainSection& train);
void append_tuning(Fields& fields, TuningSection& tuning);
void append_evaluation(Fields& fields, EvalSection& eval);
void append_callbacks(Fields& fields, RunConfig& config);

}  // namespace collie::config
