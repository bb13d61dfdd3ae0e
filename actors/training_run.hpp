// The loop of a run behind the public Trainer. Private to trainer.cpp and training_run*.cpp.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "actors/callback_list.hpp"
#include "actors/metrics_log.hpp"
#include "actors/run_evaluations.hpp"
#include "actors/run_trace.hpp"
#include "actors/trainer.hpp"
#include "actors/training_grid.hpp"

namespace collie {

// The loop of a run, and what callbacks may ask of it.
struct TrainingRun : RunControl {
  TrainerOptions options;
  std::unique_ptr<TrainingGrid> grid;
  std::unique_ptr<RunEvaluations> evaluations;
  CallbackList callbacks;
  std::shared_ptr<Evaluator> validation;  // null without validation data
  std::shared_ptr<MetricsLog> metrics;
  std::optional<RunTraceWriter> trace;
  std::int64_t steps_done = 0;
  double peak_flops = 0.0;
  double flops_per_token = 0.0;
  // With train.post_validation: the next step, which has been begun already.
  std::optional<RoundRequest> begun_early;
  // What callbacks have asked for.
  std::optional<std::string> finish_reason;
  bool stop_asked = false;
  std::optional<Error> failure;
  bool replaced_parameters = false;
  Json saved_states;  // of the callbacks, in the newest checkpoint

  void finish(std::string_view reason) override {
    if (!finish_reason) note(fmt::format("ends after step {}: {}", steps_done, reason));
    if (!finish_reason) finish_reason = std::string(reason);
  }
  void stop() override { stop_asked = true; }
  void fail(Error error) override {
    if (!failure) failure = std::move(error);
  }
  void note(std::string_view line) override { callbacks.tell_note(line); }
  Result<std::string> save_checkpoint(const std::string& directory) override;
  Status load_checkpoint(const std::string& path) override;
  Result<std::vector<GenerationResult>> generate(std::span<const std::string> prompts,
                                                 const GenerationOptions& options_of) override {
    return evaluations->generate_texts(prompts, options_of);
  }

  const RunConfig& config() const { return grid->setup().config; }
  std::int64_t total() const { return grid->setup().total_steps; }
  bool finished() const { return steps_done >= total() || finish_reason; }
  bool stop_requested() const {
    return stop_asked || (options.stop != nullptr && options.stop->load());
  }
  Status failed() const { return failure ? Status(*failure) : ok_status(); }

  Status open_metrics(TrainingReport& report);
  Status record_trace(const RoundOutcome& outcome);
  RunInfo info() const;
  std::vector<SourceInfo> mixed_sources() const;
  std::vector<SourceEpochs> source_epochs() const;
  LoadEvent loaded() const;
  void add_callback(std::shared_ptr<Callback> callback);
  bool evaluates_after(std::int64_t steps) const;
  bool saves_after(std::int64_t steps) const;
  RoundRequest request_for(std::int64_t step) const;
  std::optional<RoundRequest> next_for_certain() const;
  Result<RoundOutcome> perform(RoundRequest& request);
  Result<StepEvent> step();
  StepEvent event_of(const RoundOutcome& outcome, const RoundRequest& request, double seconds);
  Status decide_non_finite(const Error& error);
  std::int64_t epochs_after(std::int64_t steps) const;
  Result<std::optional<EvaluationEvent>> evaluate(Evaluator& evaluator, bool may_stop);
  // Those that are due after this step, or all that have not been asked after it.
  Status evaluate_due(bool all);
  Status save_run();
  Status save_model(TrainingReport& report);
  Status one_step(TrainingReport& report);
  Status train(TrainingReport& report);
  Status end(TrainingReport& report);
};

}  // namespace collie
