#include <algorithm>

#include "actors/callbacks/ready.hpp"
#include "runtime/file.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

Status check_metric(std::string_view key, const WatchedMetric& metric,
                    const std::vector<std::string>& names) {
  if (std::ranges::find(names, metric.name) != names.end()) return ok_status();
  if (names.empty()) {
    return make_error(ErrorCode::invalid_config,
                      "{}: nothing is evaluated; name data.validation or eval.evaluators", key);
  }
  return make_error(ErrorCode::invalid_config, "{}: no evaluator gives {}, only {}{}", key,
                    quoted_name(metric.name), fmt::join(names, ", "),
                    did_you_mean(metric.name, names));
}

}  // namespace

MetricGoal goal_of(const WatchedMetric& metric) {
  const std::string_view value = std::string_view(metric.name).substr(metric.name.find('#') + 1);
  const bool is_loss = value.ends_with("loss") || value.ends_with("perplexity");
  return {metric.name, metric.mode == "min" || (metric.mode == "auto" && is_loss)};
}

Result<std::vector<std::shared_ptr<Callback>>> make_callbacks(
    const RunConfig& config, const std::vector<std::string>& value_names) {
  std::vector<std::shared_ptr<Callback>> callbacks;
  const BestSection& best = config.checkpoint.best;
  if (best.keep > 0 || best.load) {
    COLLIE_TRY_VOID(check_metric("checkpoint.best.metric", best.metric, value_names));
    callbacks.push_back(make_best_checkpoint(goal_of(best.metric),
                                             std::max<std::int64_t>(1, best.keep), best.load,
                                             join_path(config.output.directory, "best")));
  }
  const EarlyStopSection& stop = config.callbacks.early_stop;
  if (stop.patience > 0) {
    COLLIE_TRY_VOID(check_metric("callbacks.early_stop.metric", stop.metric, value_names));
    callbacks.push_back(make_early_stop(goal_of(stop.metric), stop.patience, stop.min_delta));
  }
  if (config.callbacks.non_finite != "error") {
    callbacks.push_back(
        make_non_finite_watch(config.callbacks.non_finite == "skip", config.callbacks.max_skipped));
  }
  if (!config.callbacks.samples.prompts.empty()) {
    callbacks.push_back(make_samples(config.callbacks.samples, config.output.directory));
  }
  return callbacks;
}

}  // namespace collie
