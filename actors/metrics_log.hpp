// The metrics of a run, to metrics.jsonl and the other sinks of output.monitors, in the file as
// soon as they happened. In metrics.jsonl each event is one JSON object a line:
//
//   {"event": "start", "time_s": ..., "name", "first_step", "total_steps", "parameters", ...,
//    "sources": [{"name", "documents", "tokens", "rows", "weight", "share"}]}
//     of a weighted mix, else empty; "end" says how often each was gone through
//   {"event": "step", "step", "epoch", "loss", "learning_rate", "gradient_norm", "tokens", ...}
//   {"event": "evaluation", "step", "loss", "perplexity", "valid_tokens", "seconds"}
//   {"event": "evaluation", "step", "evaluator", "<evaluator>#<value>", ...}
//     of each of eval.evaluators
//   {"event": "note", "step", "text"}
//   {"event": "save", "step", "kind": "model" or "checkpoint", "path", "seconds"}
//   {"event": "end", "steps_done", "stopped_early", "final_loss", ..., "parameter_hash",
//    "source_epochs": {"<name>": ...}}: a figure that was not measured is null
//
// A step also tells of this machine since the step before: network_received_bytes,
// network_sent_bytes, disk_read_bytes, disk_written_bytes, and host_resident_bytes now; what the
// system does not tell is left out. bubble_mean and _max, mailbox_depth_mean and _max are over all
// ranks: see actors/utilisation.hpp. peak_bytes is of the arenas, tokens_per_s_per_device of one
// actor of the grid.
//
// Numbers read back to the same double. A resumed run appends, so in metrics.jsonl steps between
// the checkpoint and the end of a killed run stand there twice: the later line counts, "start" says
// from where. In the other sinks the later ones are the only ones (runtime/monitor_sink.hpp).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/trainer.hpp"
#include "runtime/monitor_host.hpp"
#include "runtime/monitor_sink.hpp"

namespace collie {

class MetricsLog final : public Callback {
 public:
  // The sinks of the configuration in output.directory, which must exist. first_step: the session's
  // first, from 1. invalid_config for an interface or disk that is not there.
  static Result<std::shared_ptr<MetricsLog>> open(const RunConfig& config, std::int64_t first_step);
  MetricsLog(std::vector<std::unique_ptr<MetricSink>> sinks, HostMonitor host, int devices)
      : sinks_(std::move(sinks)), host_(std::move(host)), devices_(devices) {}

  void on_start(const RunInfo& info) override;
  void on_step(const StepEvent& step) override;
  void on_evaluation(const EvaluationEvent& evaluation) override;
  void on_save(const SaveEvent& save) override;
  void on_note(std::string_view line) override;
  void on_end(const TrainingReport& report) override;  // syncs

  // The errors of open() that the configuration is to blame for, before anything is written.
  static Status check(const RunConfig& config);

  // The first error of writing; later events are dropped by the sink it came from.
  Status status() const;

 private:
  enum class Kind { note, series };
  void append(std::string_view event, Kind kind, std::int64_t step, Json fields);
  void keep(const Status& status);
  std::vector<std::unique_ptr<MetricSink>> sinks_;
  HostMonitor host_;
  int devices_;
  std::int64_t last_step_ = 0;
  std::optional<Error> failure_;
};

}  // namespace collie
