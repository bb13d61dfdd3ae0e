#include "actors/trainer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "actors/metrics_log.hpp"
#include "actors/run_trace.hpp"
#include "actors/training_grid.hpp"
#include "kernels/peak.hpp"
#include "models/flops.hpp"
#include "models/lr_schedule.hpp"
#include "runtime/thread_pool.hpp"

namespace collie {

namespace {

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

struct Trainer::Impl {
  TrainerOptions options;
  std::unique_ptr<TrainingGrid> grid;
  std::vector<std::shared_ptr<Callback>> callbacks;
  std::shared_ptr<MetricsLog> metrics;
  std::optional<RunTraceWriter> trace;
  std::int64_t steps_traced = 0;
  std::int64_t steps_done = 0;
  double peak_flops = 0.0;
  double flops_per_token = 0.0;

  const RunConfig& config() const { return grid->setup().config; }
  std::int64_t total() const { return grid->setup().total_steps; }
  bool has_validation() const { return grid->setup().validation_data != nullptr; }
  bool finished() const { return steps_done >= total(); }
  bool stop_requested() const { return options.stop != nullptr && options.stop->load(); }
  bool due(std::int64_t every) const { return every > 0 && steps_done % every == 0; }

  Status open_metrics(TrainingReport& report);
  Status record_trace(const RoundOutcome& outcome);
  RunInfo info() const;
  Result<StepEvent> step();
  // Nothing when a stop was asked for meanwhile and may_stop allows it.
  Result<std::optional<EvaluationEvent>> evaluate(bool may_stop);
  Status save_checkpoint();
  Status save_model(TrainingReport& report);
  Status train(TrainingReport& report);
  template <class Event>
  void tell(void (Callback::*method)(const Event&), const Event& event) {
    for (const auto& callback : callbacks) (callback.get()->*method)(event);
  }
};

Status Trainer::Impl::open_metrics(TrainingReport& report) {
  if (!options.write_metrics || metrics) return ok_status();
  report.metrics_path = join_path(config().output.directory, "metrics.jsonl");
  COLLIE_TRY(metrics, MetricsLog::open(report.metrics_path, LineMode::append));
  callbacks.insert(callbacks.begin(), metrics);
  return ok_status();
}

RunInfo Trainer::Impl::info() const {
  RunInfo info{config(), grid->setup().model.traits};
  info.first_step = steps_done + 1;
  info.total_steps = total();
  info.parameter_count = parameter_count(grid->setup().model.traits);
  info.flops_per_token = flops_per_token;
  info.peak_flops = peak_flops;
  info.planned_bytes = grid->planned_bytes();
  info.resumed_from = grid->resumed_from();
  info.warnings = grid->warnings();
  return info;
}

// The proof that the step followed its schedule, and the times it took.
Status Trainer::Impl::record_trace(const RoundOutcome& outcome) {
  const ModelSetup& model = grid->setup().model;
  const Trace steps = rank_traces(model.grid, model.schedule, outcome.trace);
  COLLIE_TRY_VOID(check_conformance(model.schedule, steps));
  if (!trace) {
    const std::string path = join_path(config().output.directory, "trace.jsonl");
    COLLIE_TRY(trace, RunTraceWriter::create(path, model.schedule));
  }
  ++steps_traced;
  return trace->append(steps_done, steps);
}

Result<StepEvent> Trainer::Impl::step() {
  const TrainSection& train = config().train;
  const auto begin = std::chrono::steady_clock::now();
  RoundRequest request;
  request.step = steps_done;
  request.micro_batches = grid->setup().model.micro_batches;
  request.learning_rate = learning_rate(train, total(), steps_done);
  request.clip_norm = train.clip_norm;
  // Before a step is saved, replicas that have drifted apart are found out.
  const std::int64_t every = config().checkpoint.every_steps;
  const bool saves = steps_done + 1 == total() || (every > 0 && (steps_done + 1) % every == 0);
  request.want_hash = saves && config().grid.dp > 1;
  // The first step of a run warms caches and pools up: it tells nothing about the others.
  request.want_trace =
      steps_done > grid->resumed_step() && steps_traced < config().output.trace_steps;
  COLLIE_TRY(const RoundOutcome outcome, grid->round(request));
  ++steps_done;
  if (request.want_trace) COLLIE_TRY_VOID(record_trace(outcome));
  StepEvent event;
  event.step = steps_done;
  event.total_steps = total();
  event.epoch = static_cast<double>(steps_done * grid->setup().layout.global_rows()) /
                static_cast<double>(grid->setup().train_data->row_count());
  event.loss = outcome.loss;
  event.learning_rate = request.learning_rate;
  event.gradient_norm = outcome.gradient_norm;
  event.tokens = outcome.tokens;
  event.valid_tokens = outcome.valid_tokens;
  event.seconds = seconds_since(begin);
  event.tokens_per_s = static_cast<double>(outcome.tokens) / event.seconds;
  event.mfu = event.tokens_per_s * flops_per_token / peak_flops;
  for (const std::size_t bytes : outcome.peak_bytes) event.peak_bytes += bytes;
  return event;
}

Result<std::optional<EvaluationEvent>> Trainer::Impl::evaluate(bool may_stop) {
  const auto begin = std::chrono::steady_clock::now();
  const BatchLayout& layout = grid->setup().layout;
  const std::int64_t per_round = layout.dp * layout.accumulation;
  std::int64_t rounds = grid->setup().validation_data->steps_per_epoch(layout);
  const std::int64_t wanted = config().eval.max_batches;
  if (wanted > 0) rounds = std::min(rounds, (wanted + per_round - 1) / per_round);
  EvaluationEvent event;
  event.step = steps_done;
  double sum = 0.0;
  for (std::int64_t round = 0; round < rounds; ++round) {
    if (may_stop && stop_requested()) return std::optional<EvaluationEvent>();
    RoundRequest request;
    request.mode = Mode::evaluate;
    request.step = round;
    request.micro_batches = static_cast<int>(layout.accumulation);
    COLLIE_TRY(const RoundOutcome outcome, grid->round(request));
    sum += outcome.loss * static_cast<double>(outcome.valid_tokens);
    event.valid_tokens += outcome.valid_tokens;
  }
  event.loss = sum / static_cast<double>(std::max<std::int64_t>(1, event.valid_tokens));
  event.perplexity = std::exp(event.loss);
  event.seconds = seconds_since(begin);
  return std::optional<EvaluationEvent>(event);
}

Status Trainer::Impl::save_checkpoint() {
  const auto begin = std::chrono::steady_clock::now();
  COLLIE_TRY(std::string path, grid->save_checkpoint(steps_done));
  tell(&Callback::on_save, SaveEvent{steps_done, std::move(path), false, seconds_since(begin)});
  return ok_status();
}

Status Trainer::Impl::save_model(TrainingReport& report) {
  const auto begin = std::chrono::steady_clock::now();
  COLLIE_TRY(report.model_directory, grid->save_model());
  tell(&Callback::on_save,
       SaveEvent{steps_done, report.model_directory, true, seconds_since(begin)});
  return ok_status();
}

Status Trainer::Impl::train(TrainingReport& report) {
  while (!finished() && !stop_requested()) {
    COLLIE_TRY(const StepEvent event, step());
    report.final_loss = event.loss;
    tell(&Callback::on_step, event);
    if (has_validation() && !finished() && due(config().eval.every_steps)) {
      COLLIE_TRY(const auto evaluation, evaluate(true));
      if (evaluation) tell(&Callback::on_evaluation, *evaluation);
    }
    if (finished() || stop_requested() || due(config().checkpoint.every_steps)) {
      COLLIE_TRY_VOID(save_checkpoint());
    }
  }
  report.stopped_early = !finished();
  return ok_status();
}

Trainer::Trainer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

Result<Trainer> Trainer::create(const RunConfig& config, TrainerOptions options) {
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  const RunKind kind = impl->options.only_evaluates ? RunKind::evaluate : RunKind::train;
  COLLIE_TRY(impl->grid, TrainingGrid::create(config, kind, impl->options.loss));
  impl->steps_done = impl->grid->resumed_step();
  const ModelSetup& model = impl->grid->setup().model;
  impl->flops_per_token = training_flops_per_token(model.traits, config.data.sequence_length);
  const int lanes = std::min(usable_core_count(), model.rank_count() * model.threads);
  impl->peak_flops = kernels::measure_peak_flops(config.model.dtype) * lanes;
  return Trainer(std::move(impl));
}

void Trainer::add_callback(std::shared_ptr<Callback> callback) {
  impl_->callbacks.push_back(std::move(callback));
}

Result<EvaluationEvent> Trainer::evaluate() {
  if (!impl_->has_validation()) {
    return make_error(ErrorCode::invalid_config,
                      "data.validation: there is no validation data; name files or set "
                      "data.validation_fraction");
  }
  COLLIE_TRY(const auto evaluation, impl_->evaluate(false));
  return *evaluation;
}

Result<TrainingReport> Trainer::run() {
  const auto begin = std::chrono::steady_clock::now();
  Impl& impl = *impl_;
  COLLIE_CHECK(!impl.options.only_evaluates, "this trainer was made to evaluate only");
  TrainingReport report;
  COLLIE_TRY_VOID(make_directories(impl.config().output.directory));
  COLLIE_TRY_VOID(impl.open_metrics(report));
  impl.tell(&Callback::on_start, impl.info());
  COLLIE_TRY_VOID(impl.train(report));
  report.steps_done = impl.steps_done;
  report.parameter_hash = impl.grid->parameter_hash();
  if (!report.stopped_early) {
    COLLIE_TRY_VOID(impl.save_model(report));
    if (impl.has_validation()) {
      COLLIE_TRY(const EvaluationEvent evaluation, evaluate());
      report.validation_loss = evaluation.loss;
      report.perplexity = evaluation.perplexity;
      impl.tell(&Callback::on_evaluation, evaluation);
    }
  }
  report.seconds = seconds_since(begin);
  impl.tell(&Callback::on_end, report);
  if (impl.metrics) COLLIE_TRY_VOID(impl.metrics->status());
  return report;
}

}  // namespace collie
