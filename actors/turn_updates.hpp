// Updates of weights within the backward, so that a shard never holds all gradients at once (LOMO,
// Lv et al. 2023, for any number of micro-batches, stages, tensor shards and replicas).
//
// The gradient of a weight is the sum over a step's micro-batches. Backwards but the last make
// input gradients alone and keep what the weight gradients are made of. The last goes through the
// segments once: it makes the sum of one segment's weight gradients in a room that all segments
// share, sums it over shards and replicas, measures it, updates the weights and goes on. With one
// micro-batch and one pass nothing is kept longer than in a plain backward; else the activations
// and gradients that weight gradients are made of are: until the last backward, and with two passes
// until the norm of the grid is known.
#pragma once

#include <optional>
#include <vector>

#include "actors/protocol/work.hpp"
#include "actors/run_setup.hpp"
#include "models/optimizer.hpp"
#include "models/stage.hpp"

namespace collie {

struct TurnUpdateOptions {
  Grid grid;
  ShardId self;
  UpdateInBackward kind = UpdateInBackward::one_pass;
  std::uint64_t seed = 0;  // of OptimizerStep
};

// Of one shard. All members but the constructor and gives_up() run from inside work submitted to
// the stream; all arguments must outlive it.
class TurnUpdates final : public TurnEnd {
 public:
  TurnUpdates(TurnUpdateOptions options, StageModel& model, Optimizer& optimizer, Stream& stream);

  void begin_round();
  // The weight gradients of this micro-batch are made in last_backward.
  void put_off(MicroBatchState& state) { micro_batches_.push_back(&state); }
  // work.ends_backward; last: of a backward its micro-batch, of a backward_weight null. With one
  // pass the weights are updated, clipped as the step before was if work.clip_norm is above 0.
  Steps last_backward(const Work& work, MicroBatchState* last);
  // What is left to update once the norm is known: with two passes all.
  Steps optimize(const Apply& apply);
  // Of a resumed run: what the step before was scaled by.
  void resume_scale(double scale) { scale_before_ = scale; }
  // Sums of squares by parameter, of those that take turns.
  const std::vector<double>& squares() const { return squares_; }

  Steps end_turn(int turn) override;
  bool gives_up() const override { return error_.has_value(); }
  const std::optional<Error>& error() const { return error_; }

 private:
  Steps sum_over_groups(int index);
  void measure(int turn);

  TurnUpdateOptions options_;
  StageModel& model_;
  Optimizer& optimizer_;
  Stream& stream_;
  std::vector<MicroBatchState*> micro_batches_;
  std::vector<double> squares_;
  bool updates_ = false;  // at the end of a turn; else its gradients are measured alone
  OptimizerStep step_;
  double scale_before_ = 1.0;  // of the step before
  std::optional<Error> error_;
};

// Whether what is trained has float32 weights: model.master_weights, and always beside a tuned
// model, whose frozen weights have none under bfloat16 in any case.
bool keeps_master_weights(const RunConfig& config, const ModelSetup& model);

// Whether the run can do without float32 weights where model.master_weights says so.
Status check_master_weights(const RunConfig& config, const ModelSetup& model);

// What train.optimizer.in_backward and clip ask for; an error where the run does not allow it; see
// also check_master_weights, which it calls.
Result<UpdateInBackward> choose_update_in_backward(const RunConfig& config,
                                                   const ModelSetup& model);

}  // namespace collie
