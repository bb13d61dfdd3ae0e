// Which action a shard starts next, and when it may: its input is there and its link has credit.
// Pure. This one walks a fixed program; a schedule that decides while it runs would be another
// class with the same members, which picks among all actions that may start.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "actors/protocol/inbox.hpp"
#include "actors/schedule/schedule.hpp"

namespace collie {

struct StagePosition {
  int stages = 1;  // of the pipeline
  int stage = 0;   // of this shard
};

class ProgramCursor {
 public:
  // The program of training; its STEP is not walked: what a step ends with is RoundEnd's business.
  // credit: undelivered messages a link may hold.
  ProgramCursor(StagePosition placement, const std::vector<Action>& program, int credit);

  // To the first action: of the program, or of as many forwards as an evaluation has micro-batches.
  void begin_round(Mode mode, std::uint32_t round, int micro_batches);
  // The action to start now, if there is one; started() says that it was, and takes its credit.
  std::optional<Action> startable(const Inbox& inbox) const;
  void started(const Action& action);
  bool finished() const { return position_ == program_.size(); }

  // A neighbour has taken a message of that link.
  void give_credit(Link link);
  int credit_left(Link link) const;

  // What this shard gets from and sends to other stages.
  bool takes_activation(const Action& action) const;
  bool sends_activation(const Action& action) const;
  bool takes_gradient(const Action& action) const;
  bool sends_gradient(const Action& action) const;

  // "1F3 (activation credit 0, gradient credit 2)"; only when it has not finished.
  std::string describe() const;

 private:
  bool may_start(const Action& action, const Inbox& inbox) const;

  StagePosition placement_;
  std::vector<Action> train_program_;
  int credit_;
  std::vector<Action> program_;  // of this round
  std::size_t position_ = 0;
  std::uint32_t round_ = 0;
  int activation_credit_;  // what may still be sent to the next stage
  int gradient_credit_;    // ... and to the stage before
};

}  // namespace collie
