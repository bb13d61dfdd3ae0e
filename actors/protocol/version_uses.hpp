// Which version of its stage's weights each action of an asynchronous program reads, and when a
// version has had its last reader. A version is the number of the stage's updates before it,
// counted from the beginning of a round. Pure.
#pragma once

#include <vector>

#include "actors/schedule/schedule.hpp"

namespace collie {

struct VersionUse {
  int version = 0;       // that the action reads; STEP: that it replaces
  bool is_last = false;  // no later action reads it
  bool keeps = false;    // STEP: later actions do read the version that it replaces
  // Reads what the last PREDICT of its stage made; version: the one that it was made from.
  bool is_predicted = false;
  bool operator==(const VersionUse&) const = default;
};

// One for each action of a rank's program, whose stages each count their own versions. PIN and DROP
// are not among them.
std::vector<VersionUse> version_uses(const Schedule& schedule, const std::vector<Action>& program);

}  // namespace collie
