#include "actors/schedule/validate.hpp"

#include <algorithm>
#include <array>

#include "actors/schedule/lowering.hpp"
#include "actors/schedule/validate/checks.hpp"

namespace collie {

namespace {

using checks::Found;
using checks::Subject;

// Whether it was found.
bool keep(Found found, Validation& result) {
  if (!found) return false;
  result.violations.push_back(std::move(*found));
  return true;
}

// Whether the programs mean anything: later checks assume it.
bool makes_sense(const Subject& subject, Validation& result) {
  return !keep(checks::completeness(subject), result) &&
         !keep(checks::placement(subject), result) && !keep(checks::dependencies(subject), result);
}

void check_versions(const Subject& subject, Validation& result) {
  checks::VersionWalk walk = checks::walk_versions(subject);
  const auto add = [&](std::vector<Violation> found) {
    std::ranges::move(found, std::back_inserter(result.violations));
  };
  add(std::move(walk.violations));
  add(checks::contract(subject, walk, result));
  add(checks::updates(subject));
}

// The first of each invariant, in their order.
void sort_violations(std::vector<Violation>& violations) {
  std::ranges::stable_sort(violations, {}, &Violation::invariant);
  const auto repeated = std::ranges::unique(violations, {}, &Violation::invariant);
  violations.erase(repeated.begin(), repeated.end());
}

}  // namespace

std::string_view name_of(Invariant invariant) {
  constexpr std::array<std::string_view, 15> names = {
      "completeness",     "placement",         "dependencies",
      "channels",         "deadlock",          "memory",
      "lifetime",         "version window",    "version consistency",
      "sync equivalence", "async equivalence", "determinism",
      "rollback",         "recompute",         "progress"};
  return names.at(static_cast<std::size_t>(invariant));
}

Validation validate(const Schedule& schedule, const ValidationOptions& options) {
  Validation result;
  if (keep(checks::shape(schedule), result)) return result;
  const ActionIndex index(schedule);
  const bool trains = checks::trains(schedule);
  const Subject compute{schedule, schedule, index, trains};
  if (!makes_sense(compute, result)) return result;
  const Schedule lowered = lower(schedule);
  const Subject subject{schedule, lowered, index, trains};
  if (keep(checks::channels(subject), result)) return result;
  keep(checks::deadlock(lowered, result), result);
  keep(checks::memory(subject, options, result), result);
  keep(checks::progress(subject, options), result);
  if (trains) {
    check_versions(subject, result);
  } else {
    result.versions.resize(static_cast<std::size_t>(schedule.stages()));
  }
  sort_violations(result.violations);
  return result;
}

Status check_schedule(const Schedule& schedule) {
  const Validation result = validate(schedule);
  if (result.ok()) return ok_status();
  const Violation& first = result.violations.front();
  return make_error(ErrorCode::invalid_config, "schedule {}: {} ({})", schedule.name,
                    first.sentence, name_of(first.invariant));
}

}  // namespace collie
