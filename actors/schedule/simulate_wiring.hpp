// Who reads whose output, over which link: what the simulator and the steady state share. Pure.
#pragma once

#include "actors/schedule/action_index.hpp"

namespace collie {

// What a stage sends to a neighbour stage on another rank: its activations, or its gradients.
struct RankLink {
  int source = 0;
  int target = 0;
};

class Wiring {
 public:
  // An error names an action out of range, or one whose input is not made, or not before it.
  static Result<Wiring> make(const Schedule& schedule);

  const Schedule& schedule() const { return *schedule_; }
  const Action& action(ActionPlace place) const {
    return schedule_
        ->programs[static_cast<std::size_t>(place.rank)][static_cast<std::size_t>(place.position)];
  }
  // The action whose output this one reads from its neighbour stage, if it reads one.
  ActionPlace input_of(const Action& action) const;
  // ... and the action that reads this one's.
  ActionPlace reader_of(const Action& action) const;
  ActionPlace forward_of(const Action& action) const { return index_.unit(action).forward; }
  bool has_backward(const Action& action) const { return index_.unit(action).input.exists(); }
  // Over which links the input comes and the output goes; -1: none, or it stays on its rank.
  int inbound_link(const Action& action) const;
  int outbound_link(const Action& action) const;
  const std::vector<RankLink>& links() const { return links_; }
  bool has_recompute(const Action& action) const {
    return !recomputes_.empty() && recomputes_[unit_key(action)];
  }
  // How many ranks start this action together: all for FENCE, two for a reduction; else 1.
  int barrier_ranks(const Action& action) const;

 private:
  explicit Wiring(const Schedule& schedule) : schedule_(&schedule), index_(schedule) {}
  Status check_actions() const;
  Status check_inputs() const;
  Status check_inputs_of(const Action& action, ActionPlace here) const;
  void find_links();
  void find_recomputes();
  std::size_t unit_key(const Action& action) const;
  std::size_t stage_key(int stage, int direction) const {
    return static_cast<std::size_t>(direction * schedule_->stages() + stage);
  }

  const Schedule* schedule_;
  ActionIndex index_;
  std::vector<RankLink> links_;
  std::vector<int> forward_links_, backward_links_;  // by direction and sending stage
  std::vector<bool> recomputes_;                     // by unit; empty: no R at all
};

}  // namespace collie
