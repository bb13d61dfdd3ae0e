#include <algorithm>
#include <cstdint>

#include "actors/schedule/validate/checks.hpp"

namespace collie::checks {

namespace {

// What one stage in one direction has added up since its last STEP.
struct Slot {
  int steps = 0;
  int pending = 0;              // units whose gradients are in the slot
  int taken = 0;                // units that STEPs took
  int lowest = 0, highest = 0;  // micro-batches in the slot
  int last = -1;                // micro-batch added last
  bool is_reduced = false;      // by REDUCE_GRAD, and nothing was added since
};

class Updates {
 public:
  explicit Updates(const Subject& subject)
      : subject_(subject),
        schedule_(subject.schedule),
        invariant_(schedule_.contract.synchronous ? Invariant::sync_equivalence
                                                  : Invariant::async_equivalence),
        slots_(index_of(schedule_.stages()) * index_of(schedule_.placement.directions())),
        expected_(index_of(schedule_.placement.directions()), 0) {
    for (int mb = 0; mb < schedule_.micro_batches; ++mb) {
      ++expected_[index_of(std::max(0, subject.index.direction_of(mb)))];
    }
  }

  std::vector<Violation> run() {
    check_kind();
    for (int rank = 0; rank < schedule_.ranks(); ++rank) {
      const std::vector<Action>& program = subject_.lowered.programs[index_of(rank)];
      rank_ = rank;
      for (const Action& action : program) visit(action);
    }
    for (int direction = 0; direction < schedule_.placement.directions(); ++direction) {
      for (int stage = 0; stage < schedule_.stages(); ++stage) check_end(stage, direction);
    }
    return std::move(violations_);
  }

 private:
  Slot& slot_of(int stage, int direction) {
    return slots_[index_of(direction) * index_of(schedule_.stages()) + index_of(stage)];
  }

  template <class... Args>
  void report(Invariant invariant, fmt::format_string<Args...> format, Args&&... args) {
    for (const Violation& known : violations_) {
      if (known.invariant == invariant) return;
    }
    violations_.push_back(violation(invariant, format, std::forward<Args>(args)...));
  }

  void check_kind() {
    const bool is_grouped = schedule_.versions.step_every > 0;
    if (schedule_.contract.synchronous && is_grouped) {
      report(invariant_,
             "the contract is synchronous, but STEPs come every {} micro-batches: promise a "
             "staleness, or let one STEP take all",
             schedule_.versions.step_every);
    }
    if (!schedule_.contract.synchronous && !is_grouped) {
      report(invariant_,
             "the contract is not synchronous, but the versions do not say how many micro-batches "
             "a STEP takes (step_every)");
    }
  }

  void visit(const Action& action) {
    if (makes_weight_gradient(action.verb)) add(action, slot_of(action.stage, action.direction));
    if (action.verb == Verb::all_reduce) {
      slot_of(action.stage, action.direction).is_reduced = true;
    }
    if (action.verb == Verb::step) step(action, slot_of(action.stage, action.direction));
  }

  void add(const Action& action, Slot& slot) {
    const int mb = action.micro_batch;
    if (mb < slot.last) {
      report(Invariant::determinism,
             "rank {} adds the gradient of {} behind that of micro-batch {}: a stage's gradients "
             "add up in micro-batch order, or results depend on the schedule",
             rank_, to_string(action), slot.last);
    }
    slot.last = mb;
    slot.lowest = slot.pending == 0 ? mb : std::min(slot.lowest, mb);
    slot.highest = slot.pending == 0 ? mb : std::max(slot.highest, mb);
    slot.is_reduced = false;
    ++slot.pending;
    if (schedule_.contract.synchronous && slot.steps > 0) {
      report(invariant_,
             "rank {} does {} behind STEP{}, whose update then lacks micro-batch {}: move the STEP "
             "behind it",
             rank_, to_string(action), action.stage, mb);
    }
  }

  void step(const Action& action, Slot& slot) {
    const Placement& placement = schedule_.placement;
    const bool has_replica = placement.directions() == 2 && placement.rank_of(action.stage, 0) !=
                                                                placement.rank_of(action.stage, 1);
    if (has_replica && !slot.is_reduced) {
      report(invariant_,
             "rank {} does {} with its own gradients only: REDUCE_GRAD{} has to come behind the "
             "last weight gradient and before it",
             rank_, to_string(action), action.stage);
    }
    if (schedule_.contract.synchronous) {
      check_synchronous(action, slot);
    } else {
      check_group(action, slot);
    }
    slot.taken += slot.pending;
    slot.pending = 0;
    slot.last = -1;
    slot.is_reduced = false;
    ++slot.steps;
  }

  void check_synchronous(const Action& action, const Slot& slot) {
    const int expected = expected_[index_of(action.direction)] * schedule_.slices;
    if (slot.steps > 0) {
      report(invariant_, "rank {} does {} twice: a synchronous schedule has one STEP of each stage",
             rank_, to_string(action));
    } else if (slot.pending != expected) {
      report(invariant_, "rank {}: {} takes {} of {} gradients: move it behind the last", rank_,
             to_string(action), slot.pending, expected);
    }
  }

  void check_group(const Action& action, const Slot& slot) {
    const int group = std::max(1, schedule_.versions.step_every);
    const std::int64_t begin = std::int64_t{slot.steps} * group;
    const std::int64_t end = std::min(begin + group, std::int64_t{schedule_.micro_batches});
    const bool is_whole = slot.pending == (end - begin) * schedule_.slices &&
                          slot.lowest == begin && slot.highest == end - 1;
    if (is_whole) return;
    report(
        invariant_,
        "rank {}: STEP{} number {} takes {} gradients{}, not those of micro-batches {} to {}, as "
        "one every {} micro-batches would",
        rank_, action.stage, slot.steps + 1, slot.pending,
        slot.pending == 0 ? ""
                          : fmt::format(" of micro-batches {} to {}", slot.lowest, slot.highest),
        begin, end - 1, group);
  }

  void check_end(int stage, int direction) {
    const Slot& slot = slot_of(stage, direction);
    const int rank = schedule_.placement.rank_of(stage, direction);
    if (slot.steps == 0) {
      report(invariant_, "stage {} has no STEP: add STEP{} at the end of rank {}", stage, stage,
             rank);
    } else if (slot.pending > 0) {
      report(
          invariant_,
          "stage {}: {} gradients of micro-batches {} to {} enter no STEP: add STEP{} at the end "
          "of rank {}",
          stage, slot.pending, slot.lowest, slot.highest, stage, rank);
    }
  }

  const Subject& subject_;
  const Schedule& schedule_;
  Invariant invariant_;
  std::vector<Slot> slots_;
  std::vector<int> expected_;  // micro-batches, by direction
  std::vector<Violation> violations_;
  int rank_ = 0;
};

}  // namespace

std::vector<Violation> updates(const Subject& subject) {
  return Updates(subject).run();
}

}  // namespace collie::checks
