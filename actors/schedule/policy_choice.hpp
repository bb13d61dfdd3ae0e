// What a policy chooses among what may start: one rule for runs and the simulator. Pure; choosing
// takes time linear in the kinds and stages of a rank, whatever the number of micro-batches.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "actors/schedule/schedule.hpp"

namespace collie {

// An action of a rank's program, and where it is written there.
struct Choice {
  Action action;
  int position = 0;
};

// One rank on its way through its program under a policy. F, I, W and B are chosen; each other
// action comes after all that is written before it and before all that is written behind it.
// Kinds that the policy does not name come after those it names: I, B, W, then F.
class PolicyChoice {
 public:
  PolicyChoice() = default;
  // slices: of a micro-batch.
  PolicyChoice(const Policy& policy, std::span<const Action> program, int slices = 1);

  // The first by the policy of what the rank has prepared (F before I and B, I before W, the bound
  // on F) and may_start(const Choice&) admits; null: none now. Of two stages the first direction's
  // and lower one is preferred. Valid until started().
  template <class MayStart>
  const Choice* choose(const MayStart& may_start) const;
  // The action must be next of its kind and stage.
  void started(const Action& action);
  bool finished() const { return started_ == total_; }

 private:
  // The actions of one kind and stage, in their order in the program.
  struct Queue {
    std::size_t held = 0;  // which of the rank's stages, in one direction
    Verb verb = Verb::forward;
    std::vector<Choice> choices = {};
    std::size_t head = 0;
    bool is_empty() const { return head == choices.size(); }
  };
  // What has been started of a stage, by micro-batch and slice.
  struct Held {
    int stage = 0, direction = 0;
    std::vector<bool> has_forward = {}, has_input = {};
    int in_flight = 0;  // slices of micro-batches between F and the end of their backward
  };

  void find_held(std::span<const Action> program);
  std::size_t held_index(const Action& action) const;
  void fill_queues(const Policy& policy, std::span<const Action> program);
  std::size_t unit_of(const Action& action) const {
    return static_cast<std::size_t>(action.micro_batch) * slices_ +
           static_cast<std::size_t>(action.slice);
  }
  bool is_prepared(const Queue& queue) const;
  // Where the next action stands that is not chosen; behind the program: none is left.
  int fence() const { return next_fixed_ == fixed_.size() ? size_ : fixed_[next_fixed_].position; }

  std::vector<Queue> queues_;  // by priority, then stage
  std::vector<Held> held_;
  std::vector<Choice> fixed_;  // what is not chosen
  std::size_t next_fixed_ = 0;
  std::size_t slices_ = 1;
  int bound_ = 0;  // of in_flight; 0: none
  int started_ = 0, total_ = 0;
  int size_ = 0;
};

template <class MayStart>
const Choice* PolicyChoice::choose(const MayStart& may_start) const {
  const int end = fence();
  // Whatever is written before it has been started: there are as many.
  if (started_ == end && end < size_) {
    const Choice& fixed = fixed_[next_fixed_];
    return may_start(fixed) ? &fixed : nullptr;
  }
  for (const Queue& queue : queues_) {
    if (queue.is_empty() || queue.choices[queue.head].position > end) continue;
    if (!is_prepared(queue)) continue;
    const Choice& next = queue.choices[queue.head];
    if (may_start(next)) return &next;
  }
  return nullptr;
}

}  // namespace collie
