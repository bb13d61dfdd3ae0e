// Where each action of a schedule stands: built once, in time linear in the number of actions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "actors/schedule/schedule.hpp"

namespace collie {

// Ranks, stages and micro-batches are ints, -1 meaning none; containers count in std::size_t.
inline std::size_t index_of(int value) {
  return static_cast<std::size_t>(value);
}

// A place in the programs; position < 0: nowhere.
struct ActionPlace {
  int rank = -1;
  int position = -1;
  bool exists() const { return position >= 0; }
  bool operator==(const ActionPlace&) const = default;
};

// The work on one (stage, micro-batch, slice, direction).
struct UnitPlaces {
  ActionPlace forward;
  ActionPlace input;   // its I or B
  ActionPlace weight;  // its W or B
};

class ActionIndex {
 public:
  // Of actions that occur twice the first is kept; repeated() names the second. Keys out of range
  // are left out; out_of_range() names the first.
  explicit ActionIndex(const Schedule& schedule);

  const UnitPlaces& unit(int stage, int micro_batch, int slice = 0, int direction = 0) const {
    return units_[key(stage, micro_batch, slice, direction)];
  }
  const UnitPlaces& unit(const Action& action) const {
    return unit(action.stage, action.micro_batch, action.slice, action.direction);
  }
  // Where a unit stands in an array of all units, directions first: for tables beside this index.
  std::size_t unit_key(const Action& action) const {
    return key(action.stage, action.micro_batch, action.slice, action.direction);
  }
  std::size_t unit_count() const { return units_.size(); }
  ActionPlace repeated() const { return repeated_; }
  ActionPlace out_of_range() const { return out_of_range_; }
  // Which direction runs a micro-batch (that of its first action found); all of it runs there.
  int direction_of(int micro_batch) const {
    return directions_[static_cast<std::size_t>(micro_batch)];
  }

 private:
  std::size_t key(int stage, int micro_batch, int slice, int direction) const {
    return ((static_cast<std::size_t>(direction) * static_cast<std::size_t>(stages_) +
             static_cast<std::size_t>(stage)) *
                static_cast<std::size_t>(micro_batches_) +
            static_cast<std::size_t>(micro_batch)) *
               static_cast<std::size_t>(slices_) +
           static_cast<std::size_t>(slice);
  }
  void add(const Action& action, ActionPlace place);

  int stages_;
  int micro_batches_;
  int slices_;
  int direction_count_;
  std::vector<UnitPlaces> units_;
  std::vector<signed char> directions_;
  ActionPlace repeated_;
  ActionPlace out_of_range_;
};

}  // namespace collie
