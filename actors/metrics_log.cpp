#include "actors/metrics_log.hpp"

#include <algorithm>
#include <chrono>

#include "models/traits.hpp"
#include "runtime/file.hpp"
#include "runtime/hash.hpp"

namespace collie {

namespace {

double seconds_since_epoch() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

void add_if_told(Json& fields, std::string_view name, const std::optional<std::uint64_t>& value) {
  if (value) fields[std::string(name)] = *value;
}

Result<HostMonitor> open_host_monitor(const OutputSection& output) {
  return HostMonitor::open({output.network_interface, output.disk, {}});
}

}  // namespace

Status MetricsLog::check(const RunConfig& config) {
  COLLIE_TRY_VOID(open_host_monitor(config.output));
  return ok_status();
}

Result<std::shared_ptr<MetricsLog>> MetricsLog::open(const RunConfig& config,
                                                     std::int64_t first_step) {
  const OutputSection& output = config.output;
  COLLIE_TRY(HostMonitor host, open_host_monitor(output));
  const auto chosen = [&](std::string_view name) {
    return std::find(output.monitors.begin(), output.monitors.end(), name) != output.monitors.end();
  };
  std::vector<std::unique_ptr<MetricSink>> sinks(1);
  // Always: the other verbs know a run by it.
  COLLIE_TRY(sinks[0], open_json_lines_sink(join_path(output.directory, "metrics.jsonl")));
  if (chosen("csv")) {
    COLLIE_TRY(auto csv, open_csv_sink(join_path(output.directory, "metrics.csv"), first_step));
    sinks.push_back(std::move(csv));
  }
  if (chosen("tensorboard")) {
    COLLIE_TRY(auto tensorboard, open_tensorboard_sink(output.directory, first_step));
    sinks.push_back(std::move(tensorboard));
  }
  return std::make_shared<MetricsLog>(std::move(sinks), std::move(host), config.grid.actors());
}

void MetricsLog::on_start(const RunInfo& info) {
  last_step_ = info.first_step - 1;
  Json sources = Json::array();
  for (const SourceInfo& source : info.sources) {
    sources.push_back({{"name", source.name},
                       {"documents", source.documents},
                       {"tokens", source.tokens},
                       {"rows", source.rows},
                       {"weight", source.weight},
                       {"share", source.share}});
  }
  const GridSection& grid = info.config.grid;
  append("start", Kind::note, info.first_step - 1,
         {{"time_s", seconds_since_epoch()},
          {"name", info.config.name},
          {"family", info.traits.family},
          {"first_step", info.first_step},
          {"total_steps", info.total_steps},
          {"resumed_from", info.resumed_from},
          {"parameters", info.parameter_count},
          {"dp", grid.dp},
          {"tp", grid.tp},
          {"pp", grid.pp},
          {"schedule", grid.schedule},
          {"dtype", info.config.model.dtype == DType::bf16 ? "bfloat16" : "float32"},
          {"flops_per_token", info.flops_per_token},
          {"peak_flops", info.peak_flops},
          {"planned_bytes", info.planned_bytes},
          {"sources", std::move(sources)}});
}

void MetricsLog::on_step(const StepEvent& step) {
  Json fields = {{"step", step.step},
                 {"epoch", step.epoch},
                 {"loss", step.loss},
                 {"learning_rate", step.learning_rate},
                 {"gradient_norm", step.gradient_norm},
                 {"rollbacks", step.rollbacks},
                 {"tokens", step.tokens},
                 {"valid_tokens", step.valid_tokens},
                 {"seconds", step.seconds},
                 {"tokens_per_s", step.tokens_per_s},
                 {"tokens_per_s_per_device", step.tokens_per_s / devices_},
                 {"mfu", step.mfu},
                 {"peak_bytes", step.peak_bytes}};
  last_step_ = step.step;
  if (step.ranks.rank_count > 0) {
    fields["bubble_mean"] = step.ranks.bubble_mean;
    fields["bubble_max"] = step.ranks.bubble_max;
    fields["mailbox_depth_mean"] = step.ranks.mailbox_depth_mean;
    fields["mailbox_depth_max"] = step.ranks.mailbox_depth_max;
  }
  const HostUse use = host_.sample();
  add_if_told(fields, "host_resident_bytes", use.resident_bytes);
  add_if_told(fields, "network_received_bytes", use.network_received_bytes);
  add_if_told(fields, "network_sent_bytes", use.network_sent_bytes);
  add_if_told(fields, "disk_read_bytes", use.disk_read_bytes);
  add_if_told(fields, "disk_written_bytes", use.disk_written_bytes);
  append("step", Kind::series, step.step, std::move(fields));
}

void MetricsLog::on_note(std::string_view line) {
  append("note", Kind::note, last_step_, {{"step", last_step_}, {"text", line}});
}

void MetricsLog::on_evaluation(const EvaluationEvent& evaluation) {
  if (evaluation.name != "validation") {
    Json fields = {{"step", evaluation.step}, {"evaluator", evaluation.name}};
    for (const MetricValue& value : evaluation.values) fields[value.name] = value.value;
    fields[evaluation.name + "#seconds"] = evaluation.seconds;
    return append("evaluation", Kind::series, evaluation.step, std::move(fields));
  }
  append("evaluation", Kind::series, evaluation.step,
         {{"step", evaluation.step},
          {"loss", evaluation.loss},
          {"perplexity", evaluation.perplexity},
          {"valid_tokens", evaluation.valid_tokens},
          {"seconds", evaluation.seconds}});
}

void MetricsLog::on_save(const SaveEvent& save) {
  append("save", Kind::note, save.step,
         {{"step", save.step},
          {"kind", save.is_model ? "model" : "checkpoint"},
          {"path", save.path},
          {"seconds", save.seconds}});
}

namespace {

// What was not measured is null in the file, not a perfect model's loss.
Json measured_or_null(double value) {
  return value == 0.0 ? Json() : Json(value);
}

}  // namespace

void MetricsLog::on_end(const TrainingReport& report) {
  Json epochs = Json::object();
  for (const SourceEpochs& source : report.source_epochs) epochs[source.name] = source.epochs;
  append("end", Kind::note, report.steps_done,
         {{"steps_done", report.steps_done},
          {"stopped_early", report.stopped_early},
          {"final_loss", measured_or_null(report.final_loss)},
          {"validation_loss", measured_or_null(report.validation_loss)},
          {"perplexity", measured_or_null(report.perplexity)},
          {"model_directory", report.model_directory},
          {"parameter_hash", hash_text(report.parameter_hash)},
          {"source_epochs", std::move(epochs)},
          {"seconds", report.seconds}});
  for (const auto& sink : sinks_) keep(sink->sync());
}

Status MetricsLog::status() const {
  if (failure_) return *failure_;
  return ok_status();
}

void MetricsLog::append(std::string_view event, Kind kind, std::int64_t step, Json fields) {
  const MetricRecord record{event, step, seconds_since_epoch(), kind == Kind::series,
                            std::move(fields)};
  for (const auto& sink : sinks_) keep(sink->write(record));
}

void MetricsLog::keep(const Status& status) {
  if (!status.ok() && !failure_) failure_ = status.error();
}

}  // namespace collie
