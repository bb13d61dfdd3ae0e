#include "actors/trainer.hpp"

#include <algorithm>
#include <chrono>

#include "actors/callbacks/ready.hpp"
#include "actors/training_run.hpp"
#include "kernels/peak.hpp"
#include "models/flops.hpp"
#include "runtime/thread_pool.hpp"

namespace collie {

struct Trainer::Impl final : TrainingRun {};

Trainer::Trainer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

Result<Trainer> Trainer::create(const RunConfig& config, TrainerOptions options) {
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  COLLIE_TRY_VOID(MetricsLog::check(config));
  const RunKind kind = impl->options.only_evaluates ? RunKind::evaluate : RunKind::train;
  COLLIE_TRY(impl->grid, TrainingGrid::create(config, kind, impl->options.loss));
  const RunSetup& setup = impl->grid->setup();
  impl->steps_done = impl->grid->resumed_step();
  impl->flops_per_token = training_flops_per_token(setup.model.traits, config.data.sequence_length,
                                                   setup.model.tuning.get());
  const int lanes = std::min(usable_core_count(), setup.model.rank_count() * setup.model.threads);
  impl->peak_flops = kernels::measure_peak_flops(config.model.dtype) * lanes;
  impl->evaluations = std::make_unique<RunEvaluations>(*impl->grid, impl->options.stop);
  if (setup.validation_data) {
    impl->validation =
        make_perplexity_evaluator("validation", setup.validation_data, config.eval.max_batches, 0);
    COLLIE_TRY_VOID(impl->evaluations->add(impl->validation));
  }
  COLLIE_TRY(EvaluatorList evaluators, make_evaluators(setup));
  std::ranges::copy(impl->options.evaluators, std::back_inserter(evaluators));
  for (const auto& evaluator : evaluators) COLLIE_TRY_VOID(impl->evaluations->add(evaluator));
  if (kind == RunKind::train) {
    COLLIE_TRY(const auto ready, make_callbacks(config, impl->evaluations->value_names()));
    for (const auto& callback : ready) impl->add_callback(callback);
    COLLIE_TRY_VOID(impl->failed());
  }
  return Trainer(std::move(impl));
}

void Trainer::add_callback(std::shared_ptr<Callback> callback) {
  impl_->add_callback(std::move(callback));
}

Result<EvaluationEvent> Trainer::evaluate() {
  if (!impl_->validation) {
    return make_error(ErrorCode::invalid_config,
                      "data.validation: there is no validation data; name files or set "
                      "data.validation_fraction");
  }
  COLLIE_TRY(const auto evaluation,
             impl_->evaluations->run(*impl_->validation, impl_->steps_done, false));
  return *evaluation;
}

Result<std::vector<EvaluationEvent>> Trainer::evaluate_all() {
  COLLIE_TRY_VOID(impl_->failed());
  std::vector<EvaluationEvent> events;
  for (const auto& evaluator : impl_->evaluations->all()) {
    COLLIE_TRY(const auto event, impl_->evaluate(*evaluator, false));
    events.push_back(*event);
  }
  return events;
}

Result<std::vector<double>> Trainer::row_losses() {
  const RunSetup& setup = impl_->grid->setup();
  if (!setup.validation_data) {
    return make_error(ErrorCode::invalid_config, "data.validation: there is no validation data");
  }
  const Dataset& data = *setup.validation_data;
  std::vector<double> losses;
  for (std::int64_t round = 0; round < data.steps_per_epoch(setup.layout); ++round) {
    COLLIE_TRY(const RoundOutcome outcome, impl_->evaluations->round(data, round));
    losses.insert(losses.end(), outcome.row_losses.begin(), outcome.row_losses.end());
  }
  losses.resize(static_cast<std::size_t>(data.row_count()));
  return losses;
}

Result<TrainingReport> Trainer::run() {
  const auto begin = std::chrono::steady_clock::now();
  Impl& impl = *impl_;
  COLLIE_CHECK(!impl.options.only_evaluates, "this trainer was made to evaluate only");
  COLLIE_TRY_VOID(impl.failed());
  TrainingReport report;
  COLLIE_TRY_VOID(make_directories(impl.config().output.directory));
  COLLIE_TRY_VOID(impl.open_metrics(report));
  impl.callbacks.tell(&Callback::on_start, impl.info());
  COLLIE_TRY_VOID(impl.train(report));
  report.steps_done = impl.steps_done;
  report.parameter_hash = impl.grid->parameter_hash();
  if (!report.stopped_early) COLLIE_TRY_VOID(impl.end(report));
  report.finish_reason = impl.finish_reason.value_or("");
  report.source_epochs = impl.source_epochs();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  report.seconds = seconds.count();
  impl.callbacks.tell(&Callback::on_end, report);
  COLLIE_TRY_VOID(impl.failed());
  if (impl.metrics) COLLIE_TRY_VOID(impl.metrics->status());
  return report;
}

}  // namespace collie
