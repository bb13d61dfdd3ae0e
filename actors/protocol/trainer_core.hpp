// The protocol of the trainer as a pure state machine: one round (a training step or an evaluation)
// at a time. Sums are taken in a fixed order - losses by replica and micro-batch, squares by tensor
// rank, stage and parameter - so a round's outcome does not depend on when reports arrive, nor on
// how the layers were divided into stages.
#pragma once

#include <optional>
#include <vector>

#include "actors/protocol/work.hpp"

namespace collie {

struct RoundRequest {
  Mode mode = Mode::train;
  std::int64_t step = 0;  // which data; for training also which update (step + 1)
  int micro_batches = 1;  // per replica
  double learning_rate = 0.0;
  double clip_norm = 0.0;  // 0: no clipping
  bool want_hash = false;
  bool want_trace = false;
};

struct RoundOutcome {
  double loss = 0.0;           // mean over the valid tokens of the global batch
  double gradient_norm = 0.0;  // before clipping
  std::int64_t valid_tokens = 0;
  std::int64_t tokens = 0;
  std::uint64_t parameter_hash = 0;              // when asked for; the same in every replica
  std::vector<std::size_t> peak_bytes;           // per shard, in the order of index_of
  std::vector<std::vector<TracedAction>> trace;  // when asked for; per shard too
};

class TrainerCore {
 public:
  TrainerCore(std::uint64_t run, std::uint32_t generation, Grid grid);

  // Only when no round is running.
  void begin(const RoundRequest& request, Commands& out);
  void receive(Message message, Commands& out);
  // Set when the round has ended, well or badly; taking it makes room for the next round.
  std::optional<Result<RoundOutcome>> take_outcome();
  // Who has not reported yet, for a run that makes no progress.
  std::string describe() const;

 private:
  void decide_when_reported(Commands& out);
  void finish_when_done();
  Status check_finite() const;
  double loss_sum() const;
  double sum_of_squares() const;
  void fail(Error error);
  const RoundReport& report(const ShardId& shard) const;
  void broadcast(const Message& message, Commands& out) const;

  std::uint64_t run_;
  std::uint32_t generation_;
  Grid grid_;
  std::uint32_t round_ = 0;
  bool running_ = false;
  bool applied_ = false;
  RoundRequest request_;
  std::vector<std::optional<RoundReport>> reports_;
  std::vector<std::optional<StepDone>> done_;
  std::optional<RoundData> data_;
  RoundOutcome outcome_;
  std::optional<Result<RoundOutcome>> result_;
};

}  // namespace collie
