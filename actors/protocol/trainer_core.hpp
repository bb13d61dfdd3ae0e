// The protocol of the trainer as a pure state machine: one round (a training step or an evaluation)
// at a time. Sums are taken in a fixed order - losses by replica and micro-batch, squares by tensor
// rank, stage and parameter - so a round's outcome does not depend on when reports arrive, nor on
// how the layers were divided into stages.
//
// With post-validation (see post_validation.hpp) the next round may be told to begin while the
// present one runs. Where the present one's decision is other than ranks that went on have assumed
// (anything but an unscaled update), the next round is given up and begun anew, under another
// number.
#pragma once

#include <deque>
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
  // Of Mode::train: the round estimates curvature from labels drawn with this and updates nothing.
  std::optional<LabelDraw> curvature = {};
  GenerationSettings generation = {};  // of Mode::generate
  bool operator==(const RoundRequest&) const = default;
};

struct RoundOutcome {
  double loss = 0.0;           // mean over the valid tokens of the global batch
  double gradient_norm = 0.0;  // before clipping
  std::int64_t valid_tokens = 0;
  std::int64_t tokens = 0;
  std::uint64_t parameter_hash = 0;              // when asked for; the same in every replica
  std::vector<std::size_t> peak_bytes;           // per shard, in the order of index_of
  std::vector<std::vector<TracedAction>> trace;  // when asked for; per shard too
  int rollbacks = 0;           // shards that took an early update back and did it again
  std::vector<RankUse> ranks;  // of a training round, of each rank of each replica
  std::vector<GeneratedSequence> generated;  // Mode::generate: of each prompt, in their order
  // Evaluation: the unscaled loss of each row of the global batch, in the order of BatchLayout.
  std::vector<double> row_losses;
};

// What clipping scales a gradient of this norm by; clip_norm 0: no clipping.
double clip_scale(double norm, double clip_norm);

class TrainerCore {
 public:
  TrainerCore(std::uint64_t run, std::uint32_t generation, Grid grid, bool post_validates = false);

  // Only when no round is running. next: the round that will be asked for after this one, if that
  // is certain; with post-validation both train, it begins early, and the next call must ask for
  // it.
  void begin(const RoundRequest& request, Commands& out,
             const std::optional<RoundRequest>& next = std::nullopt);
  void receive(Message message, Commands& out);
  // Set when the round has ended, well or badly; taking it makes room for the next round.
  std::optional<Result<RoundOutcome>> take_outcome();
  // Who has not reported yet, for a run that makes no progress.
  std::string describe() const;

 private:
  struct Round {
    BeginRound begin;
    RoundRequest request;
    bool applied = false;
    std::vector<std::optional<RoundReport>> reports = {};  // of all shards, by index_of
    std::vector<std::optional<StepDone>> done = {};
    std::optional<RoundData> data = {};
    RoundOutcome outcome = {};
    std::optional<Error> refusal = {};
    const RoundReport& report(const Grid& grid, const ShardId& shard) const;
    bool is_reported() const;
  };

  void open(const RoundRequest& request, bool may_overtake, Commands& out);
  void keep(Round& round, Message message);
  void decide_when_reported(Commands& out);
  Status keep_generated(Round& round) const;
  void decide_update(Round& round, Commands& out);
  void finish_when_done();
  Status check_finite(const Round& round) const;
  double loss_sum(const Round& round) const;
  double sum_of_squares(const Round& round) const;
  void finish(Result<RoundOutcome> result);
  void fail(Error error);
  void broadcast(const Message& message, Commands& out) const;

  std::uint64_t run_;
  std::uint32_t generation_;
  Grid grid_;
  bool post_validates_;
  bool running_ = false;
  std::uint32_t last_number_ = 0;  // of all rounds
  std::uint32_t ended_ = 0;        // the number of the last that has ended
  std::deque<Round> open_;         // the one running, and the next where it has been begun
  std::optional<Result<RoundOutcome>> result_;
};

}  // namespace collie
