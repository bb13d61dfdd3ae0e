// What tests of the validator ask of its findings.
#pragma once

#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "actors/schedule/validate.hpp"

namespace collie {

inline std::string names_of(const Validation& validation) {
  std::string names;
  for (const Violation& found : validation.violations) {
    names += (names.empty() ? "" : ", ") + std::string(name_of(found.invariant));
  }
  return names;
}

// That the schedule violates this invariant and no other, in a sentence that contains all of these.
inline void check_violates(const Schedule& schedule, Invariant invariant,
                           const std::vector<std::string_view>& parts,
                           const ValidationOptions& options = {}) {
  const Validation validation = validate(schedule, options);
  BOOST_CHECK_EQUAL(names_of(validation), name_of(invariant));
  if (validation.ok()) return;
  const std::string& sentence = validation.violations.front().sentence;
  BOOST_TEST(sentence.find('\n') == std::string::npos);
  for (const std::string_view part : parts) {
    BOOST_TEST(sentence.find(part) != std::string::npos,
               fmt::format("'{}' lacks '{}'", sentence, part));
  }
}

inline void check_valid(const Schedule& schedule, const ValidationOptions& options = {}) {
  const Validation validation = validate(schedule, options);
  BOOST_TEST(validation.ok(),
             fmt::format("{}: {}", schedule.name,
                         validation.ok() ? "" : validation.violations[0].sentence));
}

}  // namespace collie
