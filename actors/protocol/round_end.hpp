// How a round ends on one shard, once its program has: the gradients are exchanged, the round is
// reported, and in training the trainer's decision is applied. With post-validation (see
// post_validation.hpp) the shard may have updated before; then the decision is what the update is
// validated against, and where they differ it is rolled back and done again. Pure.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "actors/protocol/group_exchange.hpp"

namespace collie {

class RoundEnd {
 public:
  // exchanges: at the end of a training step, performed in the order listed.
  // updates: whether the end of a round does; programs of asynchronous schedules have done so.
  RoundEnd(const ShardId& self, std::vector<Exchange> exchanges, bool updates = true)
      : self_(self), exchanges_(std::move(exchanges)), updates_(updates) {}

  // Each returns the work to start next, if there is any. stamp: the round's, micro-batch 0.
  Work begin(Mode mode, const Stamp& stamp);
  std::optional<Work> message_arrived(Inbox& inbox);
  std::optional<Work> completed(Completion completion, Inbox& inbox, Commands& out);
  // Updates before the trainer has decided; only while awaits_trainer().
  Work update_early(const Apply& guess);

  // The trainer refused the update: what was awaited will not come.
  void abandon() { phase_ = Phase::over; }

  bool is_over() const { return phase_ == Phase::over; }
  bool awaits_trainer() const { return phase_ == Phase::awaiting_apply; }
  // Nothing but the validation of an early update is left.
  bool awaits_validation() const { return phase_ == Phase::updated_early; }
  int rollbacks() const { return rollbacks_; }  // of this round
  // The completion of this work is the last of the round.
  bool ends_with(WorkKind kind) const;
  std::string_view describe() const;

 private:
  enum class Phase {
    over,
    preparing,       // exchanges_[exchange_]: the own part is being made
    exchanging,      // ... the others' are awaited
    combining,       // ... and are being combined
    reporting,       // losses and squares are being computed
    awaiting_apply,  // the trainer decides
    optimizing,
    updating_early,
    updated_early,  // the trainer decides whether that was right
    validating,
    rolling_back,
  };

  Work make_work(WorkKind kind) const;
  Work next_exchange();
  std::optional<Work> combine_when_complete(Inbox& inbox);
  std::optional<Work> decide_when_told(Inbox& inbox);
  Work optimize();
  void finish(Completion completion, Commands& out);

  ShardId self_;
  std::vector<Exchange> exchanges_;
  bool updates_;
  Phase phase_ = Phase::over;
  Mode mode_ = Mode::train;
  Stamp stamp_;
  std::size_t exchange_ = 0;
  PartCollection parts_;
  Apply apply_;  // the trainer's, or before it the guess
  int rollbacks_ = 0;
};

}  // namespace collie
