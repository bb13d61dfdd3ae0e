// The groups of invariants that validate() is made of. Each finds the first violation, or none.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "actors/schedule/action_index.hpp"
#include "actors/schedule/event_graph.hpp"
#include "actors/schedule/validate.hpp"

namespace collie::checks {

using Found = std::optional<Violation>;

template <class... Args>
Violation violation(Invariant invariant, fmt::format_string<Args...> format, Args&&... args) {
  return {invariant, fmt::format(format, std::forward<Args>(args)...), ""};
}

struct Subject {
  const Schedule& schedule;
  const Schedule& lowered;
  const ActionIndex& index;  // of the schedule
  bool trains = true;        // else it is for evaluation
};

bool trains(const Schedule& schedule);
const Action& at(const Schedule& schedule, ActionPlace place);
// "rank 1 does 1B0 as action 3 of 9" (counted from 1).
std::string describe(const Schedule& schedule, ActionPlace place);

// Before the index is built: sizes that make sense, so that it is no larger than the file.
Found shape(const Schedule& schedule);

Found completeness(const Subject& subject);
Found placement(const Subject& subject);
Found dependencies(const Subject& subject);
Found channels(const Subject& subject);

// Also finds the credits.
Found deadlock(const Schedule& lowered, Validation& result);
// The ranks of the shortest cycle of waiting, one line each.
std::string draw_cycle(const EventGraph& graph, const Schedule& lowered,
                       const std::vector<int>& cursors, const std::vector<int>& cycle, int credit);

// Also finds the peaks.
Found memory(const Subject& subject, const ValidationOptions& options, Validation& result);
Found progress(const Subject& subject, const ValidationOptions& options);

// What each unit read and which update of its stage it entered; -1: not (yet).
struct UnitVersions {
  int forward = -1, backward = -1, update = -1;
  int prediction = -1;  // the number of the PREDICT whose weights the forward read
  bool is_recomputed = false;
};
struct VersionWalk {
  std::vector<UnitVersions> units;    // by unit_key
  std::vector<StageVersions> stages;  // without staleness and mismatch
  std::vector<Violation> violations;  // lifetime, version_window, recompute
};
VersionWalk walk_versions(const Subject& subject);

// Which micro-batches each STEP takes, in which order: sync_equivalence or async_equivalence, and
// determinism.
std::vector<Violation> updates(const Subject& subject);

// Staleness, mismatch and numbers of versions against the contract; fills those of result.versions.
std::vector<Violation> contract(const Subject& subject, const VersionWalk& walk,
                                Validation& result);

}  // namespace collie::checks
