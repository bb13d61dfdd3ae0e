// What happens between steps: evaluations, files, what callbacks ask for.
#include <algorithm>
#include <iterator>

#include "actors/training_run.hpp"
#include "models/flops.hpp"
#include "runtime/elapsed.hpp"

namespace collie {

Result<std::string> TrainingRun::save_checkpoint(const std::string& directory) {
  COLLIE_CHECK(!begun_early,
               "parameters are wanted in the middle of a step: see "
               "Callback::reads_parameters_after");
  const auto begin = std::chrono::steady_clock::now();
  COLLIE_TRY_VOID(make_directories(directory));
  COLLIE_TRY(std::string path, grid->save_checkpoint(steps_done, callbacks.states(), directory));
  callbacks.tell(&Callback::on_save, SaveEvent{steps_done, path, false, seconds_since(begin)});
  return path;
}

Status TrainingRun::load_checkpoint(const std::string& path) {
  COLLIE_CHECK(!begun_early, "parameters are replaced in the middle of a step");
  COLLIE_TRY_VOID(grid->load_checkpoint(path));
  replaced_parameters = true;
  callbacks.tell(&Callback::on_load_model, LoadEvent{"", path});
  return ok_status();
}

Status TrainingRun::open_metrics(TrainingReport& report) {
  if (!options.write_metrics || metrics) return ok_status();
  report.metrics_path = join_path(config().output.directory, "metrics.jsonl");
  COLLIE_TRY(metrics, MetricsLog::open(config(), steps_done + 1));
  callbacks.add_first(metrics);
  return ok_status();
}

RunInfo TrainingRun::info() const {
  RunInfo info{config(), grid->setup().model.traits};
  info.first_step = steps_done + 1;
  info.total_steps = total();
  info.parameter_count = parameter_count(grid->setup().model.traits);
  info.flops_per_token = flops_per_token;
  info.peak_flops = peak_flops;
  info.planned_bytes = grid->planned_bytes();
  info.resumed_from = grid->resumed_from();
  info.warnings = grid->warnings();
  std::ranges::copy(config_warnings(config()), std::back_inserter(info.warnings));
  info.sources = mixed_sources();
  return info;
}

std::vector<SourceInfo> TrainingRun::mixed_sources() const {
  const auto& data = grid->setup().train_data;
  std::vector<SourceInfo> sources;
  if (!data || data->pools().size() < 2) return sources;
  double all = 0.0;
  for (const RowPool& pool : data->pools()) all += pool.weight;
  for (const RowPool& pool : data->pools()) {
    const DatasetStatistics& has = pool.statistics;
    sources.push_back(
        {pool.name, has.documents, has.tokens, has.rows, pool.weight, pool.weight / all});
  }
  return sources;
}

std::vector<SourceEpochs> TrainingRun::source_epochs() const {
  const auto& data = grid->setup().train_data;
  std::vector<SourceEpochs> sources;
  if (!data || data->pools().size() < 2) return sources;
  const std::vector<double> epochs =
      data->pool_epochs(steps_done * grid->setup().layout.global_rows());
  for (std::size_t i = 0; i < epochs.size(); ++i) {
    sources.push_back({data->pools()[i].name, epochs[i]});
  }
  return sources;
}

LoadEvent TrainingRun::loaded() const {
  return {config().model.path, grid->resumed_from()};
}

void TrainingRun::add_callback(std::shared_ptr<Callback> callback) {
  Status told = introduce(*callback, info(), *this, loaded(), grid->callback_state());
  if (!told) fail(std::move(told).error());
  callbacks.add(std::move(callback));
}

// The proof that the step followed its schedule, and the times it took.
Status TrainingRun::record_trace(const RoundOutcome& outcome) {
  const ModelSetup& model = grid->setup().model;
  const Trace steps = rank_traces(model.grid, model.schedule, outcome.trace);
  COLLIE_TRY_VOID(check_conformance(model.schedule, steps));
  if (!trace) {
    const std::string path = join_path(config().output.directory, "trace.jsonl");
    COLLIE_TRY(trace, RunTraceWriter::create(path, model.schedule));
  }
  return trace->append(steps_done, steps);
}

Result<std::optional<EvaluationEvent>> TrainingRun::evaluate(Evaluator& evaluator, bool may_stop) {
  callbacks.tell(&Callback::on_evaluation_begin, EvaluationBegin{steps_done, evaluator.name()});
  COLLIE_TRY(std::optional<EvaluationEvent> event,
             evaluations->run(evaluator, steps_done, may_stop));
  if (event && event->truncated > 0) {
    note(fmt::format("{}: {} of {} samples were too long and lost the beginning of their context",
                     event->name, event->truncated, event->samples));
  }
  if (event) callbacks.tell(&Callback::on_evaluation, *event);
  return event;
}

Status TrainingRun::evaluate_due(bool all) {
  for (const auto& evaluator : evaluations->all()) {
    const bool is_known = evaluations->result_of(*evaluator, steps_done) != nullptr;
    if (all ? is_known : !evaluations->is_due(*evaluator, steps_done)) continue;
    COLLIE_TRY_VOID(evaluate(*evaluator, !all));
  }
  return failed();
}

Status TrainingRun::save_run() {
  const auto begin = std::chrono::steady_clock::now();
  saved_states = callbacks.states();
  COLLIE_TRY(std::string path, grid->save_checkpoint(steps_done, saved_states));
  callbacks.tell(&Callback::on_save,
                 SaveEvent{steps_done, std::move(path), false, seconds_since(begin)});
  return ok_status();
}

Status TrainingRun::save_model(TrainingReport& report) {
  const auto begin = std::chrono::steady_clock::now();
  COLLIE_TRY(report.model_directory, grid->save_model());
  callbacks.tell(&Callback::on_save,
                 SaveEvent{steps_done, report.model_directory, true, seconds_since(begin)});
  return ok_status();
}

}  // namespace collie
