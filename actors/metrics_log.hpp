// metrics.jsonl: one JSON object a line, in the file as soon as it happened.
//
//   {"event": "start", "time_s": ..., "name", "first_step", "total_steps", "parameters", ...}
//   {"event": "step", "step", "epoch", "loss", "learning_rate", "gradient_norm", "tokens", ...}
//   {"event": "evaluation", "step", "loss", "perplexity", "valid_tokens", "seconds"}
//   {"event": "save", "step", "kind": "model" or "checkpoint", "path", "seconds"}
//   {"event": "end", "steps_done", "stopped_early", "final_loss", ..., "parameter_hash"}
//
// Numbers read back to the same double. A resumed run appends, so steps between the checkpoint and
// the end of a killed run stand there twice: the later line counts, "start" says from where.
#pragma once

#include <memory>
#include <string>

#include "actors/trainer.hpp"
#include "runtime/file.hpp"

namespace collie {

class MetricsLog final : public Callback {
 public:
  static Result<std::shared_ptr<MetricsLog>> open(const std::string& path, LineMode mode);
  explicit MetricsLog(LineWriter writer) : writer_(std::move(writer)) {}

  void on_start(const RunInfo& info) override;
  void on_step(const StepEvent& step) override;
  void on_evaluation(const EvaluationEvent& evaluation) override;
  void on_save(const SaveEvent& save) override;
  void on_end(const TrainingReport& report) override;  // syncs

  // The first error of writing; later events are dropped with it.
  Status status() const { return writer_.status(); }
  const std::string& path() const { return writer_.path(); }

 private:
  void append(const Json& line);
  LineWriter writer_;
};

}  // namespace collie
