// What an asynchronous pipeline stage does about the delay of its gradients: which weights it reads
// in place of its latest, and how it updates. Delays and horizons are counted in the stage's
// updates. Formulas: PipeMare (Yang et al. 2021, T1 and T2), SpecTrain (Chen et al. 2018), XPipe
// (Guan et al. 2019), PipeOptim (Guan et al. 2023), Nesterov (Ajanthan et al. 2025).
#pragma once

#include "models/optimizer.hpp"

namespace collie {

enum class DelayRule {
  none,
  discrepancy,  // PipeMare: T1 on the learning rate, T2 on the backward's weights
  prediction,   // weights carried ahead along the optimizer's direction
  look_ahead,   // Nesterov's, with the gradient discounted by 1 - momentum; replaces sgd's update
};

struct DelayCorrectionOptions {
  DelayRule rule = DelayRule::none;
  // discrepancy: updates between the forward's weights and the own update, and between the
  // forward's and the backward's; until the learning rate is the whole one; synchronous ones first.
  int staleness = 0;
  int mismatch = 0;
  int anneal_updates = 100;
  int warm_up_updates = 0;
  // prediction: how many updates ahead; 0: the latest weights as they are.
  int forward_horizon = 0;
  int backward_horizon = 0;
  bool once_per_group = false;  // the first micro-batch of an update predicts for all of it
  // Predictions are made by predict() alone, for forwards, and for backwards where these read them.
  bool at_places = false;
  bool backwards_read_predictions = false;
  int group = 1;  // micro-batches of an update
};

// Where a forward or a backward stands.
struct DelayPoint {
  std::int64_t updates_done = 0;  // of the stage, since training began
  int updates_of_round = 0;       // since the round began
  int micro_batch = 0;
  double learning_rate = 0.0;
};

// learning_rate / staleness^(1 - min(updates_done / anneal_updates, 1)); a staleness of 0 is 1.
double annealed_learning_rate(double learning_rate, int staleness, std::int64_t updates_done,
                              int anneal_updates);

// All but state() from inside work submitted to the stream.
class DelayCorrection {
 public:
  virtual ~DelayCorrection() = default;
  virtual void begin_round() {}
  // With at_places: what forwards and backwards read from now on, whatever updates come between.
  virtual void predict(Stream&, Parameters&, const DelayPoint&) {}
  // What a forward or a backward reads for the latest weights, laid out like computes() and of its
  // type, good until the next call of the same function; undefined: computes() itself.
  virtual Tensor forward_weights(Stream& stream, Parameters& parameters, const DelayPoint& at) = 0;
  virtual Tensor backward_weights(Stream& stream, Parameters& parameters, const DelayPoint& at) = 0;
  // In place of Optimizer::step.
  virtual void update(Stream& stream, const OptimizerStep& step, int updates_of_round,
                      Parameters& parameters) = 0;
  // Saved with the optimizer's; of the same names on all stages of a schedule.
  virtual std::vector<OptimizerState> state() { return {}; }
};

// Null for DelayRule::none. look_ahead is an update rule for sgd: another optimizer is an error.
// The optimizer must outlive it.
Result<std::unique_ptr<DelayCorrection>> make_delay_correction(
    const DelayCorrectionOptions& options, const OptimizerOptions& optimizer_options,
    Optimizer& optimizer, const Parameters& parameters, Allocator& allocator);

}  // namespace collie
