// The public way to train: a configuration in, a trained model directory out. The trainer builds
// the grid of actors, runs its rounds, and tells callbacks what happens. It blocks the thread that
// calls run(); callbacks run on that thread, between rounds.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actors/callback.hpp"
#include "actors/evaluator.hpp"
#include "actors/protocol/trainer_core.hpp"
#include "models/loss.hpp"
#include "models/traits.hpp"
#include "runtime/config.hpp"

namespace collie {

// What a step of one's own may do; the default does round() alone.
class StepContext {
 public:
  virtual ~StepContext() = default;
  virtual std::int64_t step() const = 0;  // 1-based
  // Of this step; changing learning_rate or clip_norm before round() changes the update.
  virtual RoundRequest& request() = 0;
  // Forward, backward and update with the step's data. Once.
  virtual Result<RoundOutcome> round() = 0;
  // The loss of the step's own data, of each row too, with the parameters as they are: no gradient,
  // no update.
  virtual Result<RoundOutcome> evaluate() = 0;
};
// Returns what round() returned.
using TrainStep = std::function<Result<RoundOutcome>(StepContext&)>;

struct TrainerOptions {
  std::shared_ptr<const Loss> loss;         // null: cross entropy; evaluations measure it too
  EvaluatorList evaluators;                 // beside those of eval.evaluators, with other names
  TrainStep train_step;                     // none: round()
  const std::atomic<bool>* stop = nullptr;  // set it to end after the step under way
  bool only_evaluates = false;              // no training data, gradients or optimizer
  bool write_metrics = true;                // metrics.jsonl in the output directory
};

class Trainer {
 public:
  // Reads the model, the tokenizer and the data, divides the layers, checks that the plan fits and
  // that the schedule can end, and loads the parameters. Nothing has been written when this fails.
  // The callbacks that the configuration asks for (callbacks.*, checkpoint.best) are added.
  static Result<Trainer> create(const RunConfig& config, TrainerOptions options = {});
  Trainer(Trainer&&) noexcept;
  ~Trainer();

  void add_callback(std::shared_ptr<Callback> callback);
  Result<TrainingReport> run();
  // Loss and perplexity of the validation set with the parameters as they are; all there is to do
  // with options.only_evaluates.
  Result<EvaluationEvent> evaluate();
  // Of every evaluator, validation first where there is validation data.
  Result<std::vector<EvaluationEvent>> evaluate_all();
  // The unscaled loss of each row of the validation set, in order.
  Result<std::vector<double>> row_losses();

 private:
  struct Impl;
  explicit Trainer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace collie
