// Keys that were given and mean nothing beside what else was chosen. A value other than the default
// was given by somebody, so nothing but the values is looked at.
#include <algorithm>

#include "runtime/config_fields.hpp"

namespace collie {
namespace config {
namespace {

using Names = std::vector<std::string_view>;

// A key of train.optimizer, whether it was given, and which optimizers read it.
struct OptimizerKey {
  std::string_view name;
  bool is_given;
  Names readers;
};

// Groups have these keys too.
const Names reads_beta1 = {"adamw", "lion", "adan", "sophia", "adafactor", "adalomo", "muon"};
const Names reads_beta2 = {"adamw", "lion", "adan", "sophia", "muon"};

std::vector<OptimizerKey> optimizer_keys(const OptimizerSection& given) {
  const OptimizerSection usual;
  return {
      {"beta1", given.beta1.has_value(), reads_beta1},
      {"beta2", given.beta2.has_value(), reads_beta2},
      {"beta3", given.beta3 != usual.beta3, {"adan"}},
      {"epsilon", given.epsilon.has_value(), {"adamw", "adan", "adafactor", "adalomo", "muon"}},
      {"momentum", given.momentum.has_value(), {"sgd", "muon"}},
      {"dampening", given.dampening != usual.dampening, {"sgd"}},
      {"nesterov", given.nesterov.has_value(), {"sgd", "muon"}},
      {"proximal", given.proximal != usual.proximal, {"adan"}},
      {"rho", given.rho != usual.rho, {"sophia"}},
      {"hessian_interval", given.hessian_interval != usual.hessian_interval, {"sophia"}},
      {"hessian_share", given.hessian_share != usual.hessian_share, {"sophia"}},
      {"decay_rate", given.decay_rate != usual.decay_rate, {"adafactor", "adalomo"}},
      {"clip_threshold", given.clip_threshold != usual.clip_threshold, {"adafactor", "adalomo"}},
      {"scale_parameter", given.scale_parameter != usual.scale_parameter, {"adafactor"}},
      {"relative_step", given.relative_step != usual.relative_step, {"adafactor"}},
      {"warmup_init", given.warmup_init != usual.warmup_init, {"adafactor"}},
      {"clip_value", given.clip_value != usual.clip_value, {"lomo", "adalomo"}},
      {"newton_schulz_steps", given.newton_schulz_steps != usual.newton_schulz_steps, {"muon"}},
      {"muon_scale", given.muon_scale != usual.muon_scale, {"muon"}},
      {"state_dtype",
       given.state_dtype != usual.state_dtype,
       {"adamw", "sgd", "lion", "adan", "sophia", "adafactor", "adalomo", "muon"}},
  };
}

bool reads(const Names& readers, std::string_view name) {
  return std::ranges::find(readers, name) != readers.end();
}

Fault means_nothing(std::string key, std::string_view beside, const Names& readers) {
  return {std::move(key), fmt::format("means nothing to {}: leave it out; it is read by {}", beside,
                                      fmt::join(readers, ", "))};
}

std::optional<Fault> useless_group_key(const OptimizerSection& optimizer) {
  for (std::size_t i = 0; i < optimizer.groups.size(); ++i) {
    const ParameterGroup& group = optimizer.groups[i];
    const std::string place = fmt::format("train.optimizer.groups[{}]", i);
    if (group.beta1 && !reads(reads_beta1, optimizer.name)) {
      return means_nothing(place + ".beta1", optimizer.name, reads_beta1);
    }
    if (group.beta2 && !reads(reads_beta2, optimizer.name)) {
      return means_nothing(place + ".beta2", optimizer.name, reads_beta2);
    }
  }
  return std::nullopt;
}

std::optional<Fault> useless_optimizer_key(const RunConfig& config) {
  const OptimizerSection& optimizer = config.train.optimizer;
  for (const OptimizerKey& key : optimizer_keys(optimizer)) {
    if (!key.is_given || reads(key.readers, optimizer.name)) continue;
    return means_nothing(fmt::format("train.optimizer.{}", key.name), optimizer.name, key.readers);
  }
  if (auto fault = useless_group_key(optimizer)) return fault;
  const bool is_lomo = optimizer.name == "lomo" || optimizer.name == "adalomo";
  const bool in_backward = optimizer.in_backward.value_or(is_lomo);
  if (optimizer.clip != ClipNorm::two_pass && !in_backward) {
    return Fault{"train.optimizer.clip",
                 fmt::format("means nothing to {} here: leave it out; it is read where weights are "
                             "updated within the backward (lomo, adalomo, or "
                             "train.optimizer.in_backward true)",
                             optimizer.name)};
  }
  if (optimizer.warmup_init && !optimizer.relative_step) {
    return Fault{"train.optimizer.warmup_init",
                 "means nothing without train.optimizer.relative_step: leave it out or set that to "
                 "true"};
  }
  if (optimizer.rounding != Rounding::nearest && config.model.master_weights) {
    return Fault{"train.optimizer.rounding",
                 "means nothing beside float32 master weights: leave it out, or set model.dtype to "
                 "bfloat16 and model.master_weights to false"};
  }
  return std::nullopt;
}

std::string_view name_of_schedule(LrSchedule schedule) {
  constexpr std::string_view names[] = {"constant",   "linear",       "cosine",
                                        "polynomial", "inverse_sqrt", "wsd"};
  return names[static_cast<std::size_t>(schedule)];
}

std::optional<Fault> useless_schedule_key(const TrainSection& train) {
  const TrainSection usual;
  struct ScheduleKey {
    std::string_view name;
    bool is_given;
    Names readers;
  };
  const ScheduleKey keys[] = {
      {"min_lr_ratio",
       train.min_lr_ratio != usual.min_lr_ratio,
       {"linear", "cosine", "polynomial", "inverse_sqrt", "wsd"}},
      {"lr_power", train.lr_power != usual.lr_power, {"polynomial"}},
      {"lr_timescale", train.lr_timescale != usual.lr_timescale, {"inverse_sqrt"}},
      {"lr_decay_steps", train.lr_decay_steps != usual.lr_decay_steps, {"wsd"}},
      {"lr_decay_ratio", train.lr_decay_ratio != usual.lr_decay_ratio, {"wsd"}},
      {"lr_decay", train.lr_decay != usual.lr_decay, {"wsd"}},
  };
  const std::string_view schedule = name_of_schedule(train.lr_schedule);
  for (const ScheduleKey& key : keys) {
    if (!key.is_given || reads(key.readers, schedule)) continue;
    return means_nothing(fmt::format("train.{}", key.name),
                         fmt::format("train.lr_schedule {}", schedule), key.readers);
  }
  return std::nullopt;
}

// What an evaluator does: "classification (harness)", for keys of one style alone.
std::string_view kind_of_evaluator(const Json& item) {
  const std::string type = item.value("type", "");
  if (type == "perplexity") return "perplexity";
  if (type == "generation") return "generation";
  return item.contains("style") && item.at("style") == "helm" ? "classification (helm)"
                                                              : "classification (harness)";
}

// Items have been read, so their keys are of the right types, or null.
std::optional<Fault> useless_evaluator_key(const Json& evaluators) {
  struct EvaluatorKey {
    std::string key;
    Json usual;
    Names readers;
  };
  const std::string_view harness = "classification (harness)", helm = "classification (helm)";
  const EvaluatorKey keys[] = {
      {"style", "harness", {harness, helm}},
      {"end_options", false, {harness}},
      {"target_key", "target", {harness, helm, "generation"}},
      {"max_new_tokens", nullptr, {helm, "generation"}},
      {"temperature", 0.0, {helm, "generation"}},
  };
  for (std::size_t i = 0; i < evaluators.size(); ++i) {
    const Json& item = evaluators[i];
    const std::string_view kind = kind_of_evaluator(item);
    for (const EvaluatorKey& key : keys) {
      const auto found = item.find(key.key);
      const bool is_given = found != item.end() && !found->is_null() && *found != key.usual;
      if (!is_given || reads(key.readers, kind)) continue;
      return means_nothing(fmt::format("eval.evaluators[{}].{}", i, key.key), kind, key.readers);
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<Fault> useless_key(const RunConfig& config) {
  if (auto fault = useless_optimizer_key(config)) return fault;
  if (auto fault = useless_schedule_key(config.train)) return fault;
  return useless_evaluator_key(config.eval.evaluators);
}

}  // namespace config

namespace {

// What a switch that is off leaves without effect: on again it counts, so it is no error.
std::vector<std::string> switched_off(const RunConfig& config) {
  std::vector<std::string> lines;
  const auto note = [&](bool is_idle, std::string_view line) {
    if (is_idle) lines.emplace_back(line);
  };
  const EarlyStopSection& stop = config.callbacks.early_stop;
  const WatchedMetric usual;
  const auto watches = [&](const WatchedMetric& metric) {
    return metric.name != usual.name || metric.mode != usual.mode;
  };
  note(stop.patience == 0 && (watches(stop.metric) || stop.min_delta != 0.0),
       "callbacks.early_stop has no effect while its patience is 0");
  const BestSection& best = config.checkpoint.best;
  note(best.keep == 0 && !best.load && watches(best.metric),
       "checkpoint.best.metric has no effect while checkpoint.best.keep is 0 and load is false");
  const SamplesSection& samples = config.callbacks.samples;
  const SamplesSection usual_samples;
  note(samples.prompts.empty() && (samples.every_steps != usual_samples.every_steps ||
                                   samples.max_tokens != usual_samples.max_tokens ||
                                   samples.temperature != usual_samples.temperature),
       "callbacks.samples has no effect without its prompts");
  note(config.callbacks.non_finite != "skip" &&
           config.callbacks.max_skipped != CallbacksSection{}.max_skipped,
       "callbacks.max_skipped has no effect while callbacks.non_finite is not skip");
  return lines;
}

}  // namespace

std::vector<std::string> config_warnings(const RunConfig& config) {
  std::vector<std::string> lines = switched_off(config);
  const auto note = [&](bool is_idle, std::string line) {
    if (is_idle) lines.push_back(std::move(line));
  };
  note(config.train.zero > 0 && config.grid.dp == 1,
       fmt::format("train.zero {} has no effect with grid.dp 1: there is no replica to share with",
                   config.train.zero));
  const bool copies = config.train.zero == 3 && config.train.zero_copies;
  note(config.train.zero_copies && !copies,
       "train.zero_copies has no effect while train.zero is not 3");
  note(config.train.zero_prefetch != TrainSection{}.zero_prefetch && !copies,
       "train.zero_prefetch has no effect without train.zero 3 and train.zero_copies");
  note(config.data.packing_window > 0 && !config.data.packing,
       "data.packing_window has no effect while data.packing is false");
  const bool validates = !config.data.validation.empty() || config.data.validation_fraction > 0.0;
  note(config.eval.max_batches > 0 && !validates,
       "eval.max_batches has no effect without validation data");
  const bool evaluates = validates || !config.eval.evaluators.empty();
  note((config.eval.every_steps > 0 || config.eval.every_epochs > 0.0) && !evaluates,
       "eval.every_* has no effect without data.validation, data.validation_fraction or "
       "eval.evaluators");
  return lines;
}

}  // namespace collie
