// What happens in a run, and what may be done about it: the trainer tells its callbacks, in the
// order they were added, on the thread that called run(), between rounds.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "actors/utilisation.hpp"
#include "models/generator.hpp"
#include "models/metrics/metric.hpp"
#include "models/traits.hpp"
#include "runtime/config.hpp"

namespace collie {

// One source of the training data, where several are mixed by weight.
struct SourceInfo {
  std::string name;
  std::int64_t documents = 0;
  std::int64_t tokens = 0;  // slots of its rows in use
  std::int64_t rows = 0;
  double weight = 1.0;
  double share = 1.0;  // of all rows that are drawn
};

// How often a source was gone through.
struct SourceEpochs {
  std::string name;
  double epochs = 0.0;
};

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
  std::vector<SourceInfo> sources{};    // of a weighted mix; empty where there is no mix
};

struct StepEvent {
  std::int64_t step = 0;  // 1-based
  std::int64_t total_steps = 0;
  double epoch = 0.0;
  double loss = 0.0;
  double learning_rate = 0.0;
  double gradient_norm = 0.0;
  int rollbacks = 0;        // shards that took an early update back, with train.post_validation
  std::int64_t tokens = 0;  // of this step, padding included
  std::int64_t valid_tokens = 0;  // ... those with a loss
  double seconds = 0.0;
  double tokens_per_s = 0.0;
  double mfu = 0.0;            // of the measured peak, 0..1
  std::size_t peak_bytes = 0;  // sum over shards, so far
  Utilisation ranks = {};      // of all ranks of the grid
};

// The result of one evaluator.
struct EvaluationEvent {
  std::int64_t step = 0;  // after this many steps
  double loss = 0.0;      // perplexity: the mean over valid tokens
  double perplexity = 0.0;
  std::int64_t valid_tokens = 0;
  double seconds = 0.0;
  std::string name = "validation";  // of the evaluator
  std::string type = "perplexity";  // classification, generation, or one of the user's
  std::int64_t samples = 0;         // of all but perplexity
  std::int64_t truncated = 0;       // samples that lost the beginning of their context
  // Every figure under "evaluator#value": what callbacks watch and the metrics hold.
  std::vector<MetricValue> values{};

  const MetricValue* find(std::string_view value_name) const {
    for (const MetricValue& value : values) {
      if (value.name == value_name) return &value;
    }
    return nullptr;
  }
};

struct SaveEvent {
  std::int64_t step = 0;
  std::string path;
  bool is_model = false;  // a Hugging Face directory rather than a checkpoint
  double seconds = 0.0;
};

struct TrainingReport {
  std::int64_t steps_done = 0;   // over all sessions of the run
  bool stopped_early = false;    // a stop was requested; the checkpoint allows to go on
  double final_loss = 0.0;       // 0 where no step was left to do
  double validation_loss = 0.0;  // 0 without a validation set
  double perplexity = 0.0;
  std::string model_directory;
  std::string metrics_path;
  std::uint64_t parameter_hash = 0;
  double seconds = 0.0;
  std::vector<SourceEpochs> source_epochs{};  // of a weighted mix, over all sessions of the run
  std::string finish_reason{};  // of a callback that has ended the run before its last step
};

struct StepBegin {
  std::int64_t step = 0;  // 1-based
  std::int64_t total_steps = 0;
  double learning_rate = 0.0;
};

struct EpochEvent {
  std::int64_t epoch = 0;  // 1-based
  std::int64_t step = 0;   // steps done so far
};

struct EvaluationBegin {
  std::int64_t step = 0;
  std::string name;
};

// Where the parameters came from; both empty where they were drawn from the seed.
struct LoadEvent {
  std::string model;       // a Hugging Face directory
  std::string checkpoint;  // of a run that goes on, or one that a callback has loaded
};

// What to do about a step whose loss or gradient is not finite. It was not applied.
enum class NonFiniteAction { none, fail, stop, skip };

// What a callback may ask of the run it listens to. Only from within a hook.
class RunControl {
 public:
  virtual ~RunControl() = default;
  // No more steps: the run ends as after its last one, with an evaluation and a saved model.
  virtual void finish(std::string_view reason) = 0;
  virtual void stop() = 0;             // as a stop signal: saved, may be gone on with
  virtual void fail(Error error) = 0;  // the run ends with this error; the first one counts
  virtual void note(std::string_view line) = 0;  // see Callback::on_note

  // The three that need parameters, so Callback::reads_parameters_after must have said so where
  // steps overlap (train.post_validation).
  // A whole checkpoint of the state as it is, as <directory>/checkpoint-<steps>; returns its path.
  virtual Result<std::string> save_checkpoint(const std::string& directory) = 0;
  // Parameters and optimizer state of a checkpoint take the place of the present ones.
  virtual Status load_checkpoint(const std::string& path) = 0;
  // What the model as it is goes on with behind each prompt, in their order: rounds of the grid
  // that trains it (see EvaluationHost::generate).
  virtual Result<std::vector<GenerationResult>> generate(std::span<const std::string> prompts,
                                                         const GenerationOptions& options) = 0;
};

class Callback {
 public:
  virtual ~Callback() = default;

  // The key of what this callback keeps in checkpoints; empty: it keeps nothing.
  virtual std::string_view name() const { return {}; }
  // Whether it wants the parameters (RunControl) after this step; asked before the step.
  virtual bool reads_parameters_after([[maybe_unused]] std::int64_t step) const { return false; }

  // ---- once, when it is added, in this order. control outlives the callback's last hook.
  virtual void on_setup(const RunInfo&, [[maybe_unused]] RunControl& control) {}
  virtual void on_load_model(const LoadEvent&) {}
  // What on_save_checkpoint() of the callback of this name gave; null where there is nothing.
  virtual Status on_load_checkpoint([[maybe_unused]] const Json& state) { return ok_status(); }
  virtual void on_initialized(const RunInfo&) {}

  // ---- training
  virtual void on_start(const RunInfo&) {}
  // Of the epoch that is under way or begins: a resumed run tells of its first one again.
  virtual void on_epoch_begin(const EpochEvent&) {}
  virtual void on_step_begin(const StepBegin&) {}
  virtual void on_step(const StepEvent&) {}
  virtual NonFiniteAction on_non_finite([[maybe_unused]] std::int64_t step, const Error&) {
    return NonFiniteAction::none;  // leaves it to others; where all do, the run fails
  }
  virtual void on_epoch_end(const EpochEvent&) {}
  virtual void on_evaluation_begin(const EvaluationBegin&) {}
  virtual void on_evaluation(const EvaluationEvent&) {}  // of each evaluator
  // The state to keep; a checkpoint is about to be written.
  virtual Json on_save_checkpoint() { return nullptr; }
  // All steps are done and evaluated; the model will be saved next.
  virtual void on_trained() {}
  virtual void on_save(const SaveEvent&) {}  // a checkpoint or the model, whole on disk
  virtual void on_note([[maybe_unused]] std::string_view line) {}  // something for people to read
  virtual void on_end(const TrainingReport&) {}
};

}  // namespace collie
