// Callbacks that a configuration can ask for. Each is a few lines against the public interface of
// callback.hpp, and a pattern for one of your own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "actors/callback.hpp"

namespace collie {

// A figure of an evaluation and which of two is better.
struct MetricGoal {
  std::string name;  // "evaluator#value"
  bool less_is_better = true;
  bool is_better(double value, double than) const {
    return less_is_better ? value < than : value > than;
  }
};
MetricGoal goal_of(const WatchedMetric& metric);

// checkpoint.best: the `keep` best checkpoints in `directory`; with `load` the best one's
// parameters are what the run ends with. Keeps steps and values in checkpoints.
std::shared_ptr<Callback> make_best_checkpoint(MetricGoal goal, std::int64_t keep, bool load,
                                               std::string directory);

// callbacks.early_stop: finishes the run after `patience` evaluations of which none was better than
// the best so far by more than min_delta.
std::shared_ptr<Callback> make_early_stop(MetricGoal goal, std::int64_t patience, double min_delta);

// callbacks.non_finite: stops the run, or skips at most max_skipped steps in a row.
std::shared_ptr<Callback> make_non_finite_watch(bool skips, std::int64_t max_skipped);

// callbacks.samples: continues prompts every so many steps and after the last one, told as notes
// and appended to samples.jsonl in `directory` ({"step", "prompt", "text"} a line).
std::shared_ptr<Callback> make_samples(const SamplesSection& samples, std::string directory);

// Those the configuration asks for. value_names: all figures that the run's evaluators give;
// invalid_config for one to watch that is not among them, with the nearest.
Result<std::vector<std::shared_ptr<Callback>>> make_callbacks(
    const RunConfig& config, const std::vector<std::string>& value_names);

}  // namespace collie
