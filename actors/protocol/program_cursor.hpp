// Which action a rank starts next, and when it may: its input is there and its link has credit.
// Pure. It walks a fixed program, or picks by a policy among all actions that may start.
#pragma once

#include <optional>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "actors/protocol/inbox.hpp"
#include "actors/schedule/policy_choice.hpp"
#include "actors/schedule/schedule.hpp"

namespace collie {

// A stage that a rank holds, as its program sees it.
struct HostedStage {
  int stage = 0;
  int direction = 0;
  bool is_first = true, is_last = true;                 // of the pipeline
  bool previous_is_here = false, next_is_here = false;  // on the same rank: no link, no credit
  bool operator==(const HostedStage&) const = default;
};

class ProgramCursor {
 public:
  // The program of training, micro-batches numbered from 0 in each direction, without PIN and DROP.
  // STEP is walked only
  // where asked for (asynchronous schedules): what a synchronous step ends with is RoundEnd's
  // business. credit: undelivered messages that each
  // link of a hosted stage may hold. ranks: of the pipeline.
  ProgramCursor(std::vector<HostedStage> hosted, int ranks, const std::vector<Action>& program,
                int credit, bool walks_steps = false, Policy policy = {});

  // To the first action: of the program, or of as many forwards as an evaluation has micro-batches.
  void begin_round(Mode mode, std::uint32_t round, int micro_batches);
  // Leaves out what this round's program does with units from this number on. What is left can be
  // walked: no action waits for a later unit, and fewer messages are under way.
  void keep_units(int count);
  // The action to start now, if there is one; started() says that it was, and takes its credit.
  // inboxes: one for each hosted stage, in their order.
  std::optional<Action> startable(std::span<const Inbox> inboxes) const;
  void started(const Action& action);
  bool finished() const { return position_ == program_.size(); }
  std::size_t position() const { return position_; }  // of the next action
  std::span<const Action> round_program() const { return program_; }

  // An R of the forward's unit follows.
  bool is_recomputed(const Action& forward) const { return recomputed_.contains(unit_of(forward)); }

  // The position of the action's stage among the hosted; a FENCE, which has none, is the first's.
  std::size_t hosted_index(const Action& action) const;
  const HostedStage& hosted(std::size_t index) const { return hosted_[index]; }

  // A neighbour has taken a message of that link.
  void give_credit(std::size_t hosted, Link link);
  int credit_left(std::size_t hosted, Link link) const;

  // What this action gets from and sends to other stages.
  bool takes_activation(const Action& action) const;
  bool sends_activation(const Action& action) const;
  bool takes_gradient(const Action& action) const;
  bool sends_gradient(const Action& action) const;

  // "1F3 (activation credit 0, gradient credit 2)"; only when it has not finished.
  std::string describe() const;

 private:
  struct Credits {
    int activation = 0;  // what may still be sent to the next stage
    int gradient = 0;    // ... and to the stage before
  };

  using Unit = std::tuple<int, int, int, int>;  // stage, micro-batch, slice, direction
  static Unit unit_of(const Action& action) {
    return {action.stage, action.micro_batch, action.slice, action.direction};
  }
  bool may_start(const Action& action, std::span<const Inbox> inboxes) const;
  std::vector<Action> evaluation(int micro_batches) const;
  const HostedStage& stage_of(const Action& action) const { return hosted_[hosted_index(action)]; }

  std::vector<HostedStage> hosted_;
  int ranks_;
  std::vector<Action> train_program_;
  std::set<Unit> recomputed_;
  int credit_;
  std::vector<Action> program_;  // of this round
  std::size_t position_ = 0;
  std::uint32_t round_ = 0;
  std::vector<Credits> credits_;  // of each hosted stage
  Policy policy_;
  bool decides_ = false;  // in this round
  PolicyChoice choice_;   // where it does
};

}  // namespace collie
