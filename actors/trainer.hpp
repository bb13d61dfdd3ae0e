// The public way to train: a configuration in, a trained model directory out. The trainer builds
// the grid of actors, runs its rounds, and tells callbacks what happens. It blocks the thread that
// calls run(); callbacks run on that thread, between rounds.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "models/loss.hpp"
#include "models/traits.hpp"
#include "runtime/config.hpp"

namespace collie {

// What a run is, told once before its first step.
struct RunInfo {
  const RunConfig& config;
  const ModelTraits& traits;
  std::int64_t first_step = 1;  // > 1 after a resume
  std::int64_t total_steps = 0;
  std::int64_t parameter_count = 0;
  double flops_per_token = 0.0;         // training, the convention of models/flops.hpp
  double peak_flops = 0.0;              // of all streams together, measured before the run
  std::size_t planned_bytes = 0;        // sum over shards
  std::string resumed_from{};           // checkpoint path; empty for a new run
  std::vector<std::string> warnings{};  // damaged checkpoints that were passed over, and the like
};

struct StepEvent {
  std::int64_t step = 0;  // 1-based
  std::int64_t total_steps = 0;
  double epoch = 0.0;
  double loss = 0.0;
  double learning_rate = 0.0;
  double gradient_norm = 0.0;
  std::int64_t tokens = 0;        // of this step, padding included
  std::int64_t valid_tokens = 0;  // ... those with a loss
  double seconds = 0.0;
  double tokens_per_s = 0.0;
  double mfu = 0.0;            // of the measured peak, 0..1
  std::size_t peak_bytes = 0;  // sum over shards, so far
};

struct EvaluationEvent {
  std::int64_t step = 0;  // after this many steps
  double loss = 0.0;
  double perplexity = 0.0;
  std::int64_t valid_tokens = 0;
  double seconds = 0.0;
};

struct SaveEvent {
  std::int64_t step = 0;
  std::string path;
  bool is_model = false;  // a Hugging Face directory rather than a checkpoint
  double seconds = 0.0;
};

struct TrainingReport {
  std::int64_t steps_done = 0;  // over all sessions of the run
  bool stopped_early = false;   // a stop was requested; the checkpoint allows to go on
  double final_loss = 0.0;
  double validation_loss = 0.0;  // 0 without a validation set
  double perplexity = 0.0;
  std::string model_directory;
  std::string metrics_path;
  std::uint64_t parameter_hash = 0;
  double seconds = 0.0;
};

class Callback {
 public:
  virtual ~Callback() = default;
  virtual void on_start(const RunInfo&) {}
  virtual void on_step(const StepEvent&) {}
  virtual void on_evaluation(const EvaluationEvent&) {}
  virtual void on_save(const SaveEvent&) {}
  virtual void on_end(const TrainingReport&) {}
};

struct TrainerOptions {
  std::shared_ptr<const Loss> loss;         // null: cross entropy
  const std::atomic<bool>* stop = nullptr;  // set it to end after the step under way
  bool only_evaluates = false;              // no training data, gradients or optimizer
  bool write_metrics = true;                // metrics.jsonl in the output directory
};

class Trainer {
 public:
  // Reads the model, the tokenizer and the data, divides the layers, checks that the plan fits and
  // that the schedule can end, and loads the parameters. Nothing has been written when this fails.
  static Result<Trainer> create(const RunConfig& config, TrainerOptions options = {});
  Trainer(Trainer&&) noexcept;
  ~Trainer();

  void add_callback(std::shared_ptr<Callback> callback);
  Result<TrainingReport> run();
  // Loss and perplexity of the validation set with the parameters as they are; all there is to do
  // with options.only_evaluates.
  Result<EvaluationEvent> evaluate();

 private:
  struct Impl;
  explicit Trainer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace collie
