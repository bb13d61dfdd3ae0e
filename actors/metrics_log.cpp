#include "actors/metrics_log.hpp"

#include <chrono>

#include "models/traits.hpp"
#include "runtime/hash.hpp"

namespace collie {

namespace {

double seconds_since_epoch() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

}  // namespace

Result<std::shared_ptr<MetricsLog>> MetricsLog::open(const std::string& path, LineMode mode) {
  COLLIE_TRY(LineWriter writer, LineWriter::open(path, mode));
  return std::make_shared<MetricsLog>(std::move(writer));
}

void MetricsLog::on_start(const RunInfo& info) {
  const GridSection& grid = info.config.grid;
  append({{"event", "start"},
          {"time_s", seconds_since_epoch()},
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
          {"planned_bytes", info.planned_bytes}});
}

void MetricsLog::on_step(const StepEvent& step) {
  append({{"event", "step"},
          {"step", step.step},
          {"epoch", step.epoch},
          {"loss", step.loss},
          {"learning_rate", step.learning_rate},
          {"gradient_norm", step.gradient_norm},
          {"tokens", step.tokens},
          {"valid_tokens", step.valid_tokens},
          {"seconds", step.seconds},
          {"tokens_per_s", step.tokens_per_s},
          {"mfu", step.mfu},
          {"peak_bytes", step.peak_bytes}});
}

void MetricsLog::on_evaluation(const EvaluationEvent& evaluation) {
  append({{"event", "evaluation"},
          {"step", evaluation.step},
          {"loss", evaluation.loss},
          {"perplexity", evaluation.perplexity},
          {"valid_tokens", evaluation.valid_tokens},
          {"seconds", evaluation.seconds}});
}

void MetricsLog::on_save(const SaveEvent& save) {
  append({{"event", "save"},
          {"step", save.step},
          {"kind", save.is_model ? "model" : "checkpoint"},
          {"path", save.path},
          {"seconds", save.seconds}});
}

void MetricsLog::on_end(const TrainingReport& report) {
  append({{"event", "end"},
          {"steps_done", report.steps_done},
          {"stopped_early", report.stopped_early},
          {"final_loss", report.final_loss},
          {"validation_loss", report.validation_loss},
          {"perplexity", report.perplexity},
          {"model_directory", report.model_directory},
          {"parameter_hash", hash_text(report.parameter_hash)},
          {"seconds", report.seconds}});
  // Kept by the writer: status() tells.
  static_cast<void>(writer_.sync());
}

void MetricsLog::append(const Json& line) {
  static_cast<void>(writer_.append_line(dump_json(line, 0)));
}

}  // namespace collie
