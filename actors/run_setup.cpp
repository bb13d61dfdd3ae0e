#include "actors/run_setup.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "actors/run_schedule.hpp"
#include "actors/tuning_setup.hpp"
#include "models/dataset/reader.hpp"
#include "models/lr_schedule.hpp"
#include "models/partition.hpp"
#include "models/peft/tuning.hpp"
#include "models/registry.hpp"
#include "models/resize_vocabulary.hpp"
#include "runtime/file.hpp"
#include "runtime/glob.hpp"
#include "runtime/suggest.hpp"
#include "runtime/thread_pool.hpp"

namespace collie {

namespace {

Result<ModelTraits> read_traits(const RunConfig& config) {
  if (config.model.is_fresh() && config.model.resize_vocabulary > 0) {
    return make_error(ErrorCode::invalid_config,
                      "model.resize_vocabulary: a new model has no rows yet: set vocab_size in "
                      "model.fresh");
  }
  if (config.model.is_fresh()) return parse_model_config(config.model.fresh, "model.fresh");
  COLLIE_TRY(ModelTraits traits, read_model_config(config.model.path));
  if (config.model.resize_vocabulary > 0) {
    COLLIE_TRY_VOID(resize_vocabulary(config.model.resize_vocabulary, traits));
  }
  return traits;
}

Result<Recompute> parse_recompute(const std::string& name) {
  if (name == "none") return Recompute::none;
  if (name == "attention") return Recompute::attention;
  if (name == "full") return Recompute::full;
  return make_error(ErrorCode::invalid_config,
                    "train.recompute: \"{}\" is none of none, attention, full", name);
}

// A tokenizer learns from at most this much of the data: more changes it little.
constexpr std::size_t tokenizer_sample_bytes = std::size_t{64} << 20;

Result<Tokenizer> make_tokenizer(const RunConfig& config, const ResumePoint& resume) {
  const std::int64_t vocabulary = config.model.tokenizer_vocab_size;
  if (vocabulary == 0) {
    return Tokenizer::load(config.model.tokenizer.empty() ? config.model.path
                                                          : config.model.tokenizer);
  }
  if (resume.checkpoint) return Tokenizer::load(resume.checkpoint->path());
  COLLIE_TRY(const std::string text, sample_training_text(config.data, tokenizer_sample_bytes));
  TokenizerTraining training;
  training.vocabulary_size = static_cast<int>(vocabulary);
  return Tokenizer::train_byte_level_bpe(text, training);
}

Status open_data(RunSetup& setup, RunKind kind) {
  const DataSection& data = setup.config.data;
  COLLIE_TRY(const auto encoder, make_text_encoder(*setup.tokenizer, data));
  const DatasetOptions options{setup.config.train.seed, setup.model.traits.context_length,
                               setup.model.traits.vocabulary_size,
                               tokens_before(setup.model.tuning.get())};
  if (kind == RunKind::evaluate) {
    const bool validates = !data.validation.empty() || data.validation_fraction > 0.0;
    if (!validates && !setup.config.eval.evaluators.empty()) return ok_status();
    COLLIE_TRY(Dataset validation, open_validation_data(data, *encoder, options));
    setup.validation_data = std::make_shared<const Dataset>(std::move(validation));
    return ok_status();
  }
  COLLIE_TRY(DataSplits splits, open_training_data(data, *encoder, options));
  setup.train_data = std::make_shared<const Dataset>(std::move(splits.train));
  if (splits.validation) {
    setup.validation_data = std::make_shared<const Dataset>(std::move(*splits.validation));
  }
  setup.total_steps =
      total_steps(setup.config.train, setup.train_data->row_count(), setup.layout.global_rows());
  return ok_status();
}

// Why replicas cannot share what they hold, and what to do; empty where they can.
std::string obstacle_to_zero(const RunConfig& config, const ModelSetup& setup) {
  const Schedule& schedule = setup.schedule;
  if (!schedule.contract.synchronous) return "an asynchronous schedule has one replica";
  if (config.train.post_validation) {
    return "an update that waits for other replicas cannot be made early: set "
           "train.post_validation to false";
  }
  const bool order_varies = schedule.placement.directions() > 1 || schedule.policy.decides();
  if (config.train.zero >= 2 && order_varies) {
    return fmt::format(
        "all replicas must walk schedule {} in one order: use 1, or a schedule of one direction "
        "without a policy",
        schedule.name);
  }
  if (config.train.zero >= 3 && config.tuning.save_merged) {
    return "no replica has all that is merged: use 2, or set tuning.save_merged to false";
  }
  const bool has_net = setup.tuning && (setup.tuning->method == TuningMethod::p_tuning ||
                                        setup.tuning->projection_size > 0);
  if (config.train.zero >= 3 && has_net) {
    return "no replica has all of the net whose virtual tokens are saved: use 2";
  }
  return {};
}

// Updates that wait for each other: an early one could meet one that its peer makes anew.
Status check_early_updates(const RunConfig& config) {
  const std::string& name = config.train.optimizer.name;
  const bool pauses = name == "adafactor" || name == "adalomo" || name == "muon";
  if (!config.train.post_validation || !pauses || config.grid.tp == 1) return ok_status();
  return make_error(ErrorCode::unsupported,
                    "train.post_validation: updates of {} wait for the other tensor shards: set it "
                    "to false, grid.tp to 1 or use another optimizer",
                    name);
}

Status check_zero(const RunConfig& config, const ModelSetup& setup) {
  if (config.train.zero == 0) return ok_status();
  const std::string reason = obstacle_to_zero(config, setup);
  if (reason.empty()) return ok_status();
  return make_error(ErrorCode::unsupported, "train.zero: {}", reason);
}

// A group that means no parameter is a name misspelt.
Status check_groups(const RunConfig& config, const ModelSetup& setup) {
  StageSlice whole;
  whole.layer_end = setup.traits.layer_count;
  COLLIE_TRY(std::vector<ParameterSpec> specs, declare_parameters(setup.traits, whole));
  if (setup.tuning) declare_tuning(*setup.tuning, setup.traits, whole, specs);
  for (const ParameterGroup& group : config.train.optimizer.groups) {
    const auto means = [&](const ParameterSpec& spec) {
      return matches_glob(group.pattern, spec.name) || matches_glob(group.pattern, spec.hf.tensor);
    };
    if (std::ranges::any_of(specs, means)) continue;
    return make_error(ErrorCode::invalid_config,
                      "train.optimizer.groups: no parameter is called {}; names are like {} or {}",
                      quoted_name(group.pattern), specs.back().name, specs.back().hf.tensor);
  }
  return ok_status();
}

// The end of the run would replace the weights that it began with.
Status check_own_model(const RunConfig& config) {
  const auto place = [](const std::string& path) {
    return (std::filesystem::path(path) / "").lexically_normal();
  };
  const std::string own = join_path(config.output.directory, "model");
  if (config.model.is_fresh() || place(config.model.path) != place(own)) return ok_status();
  return make_error(ErrorCode::invalid_config,
                    "model.path: {} is where this run writes its own model: choose another "
                    "output.directory",
                    config.model.path);
}

}  // namespace

Result<ModelSetup> set_up_model(const RunConfig& config) {
  ModelSetup setup;
  COLLIE_TRY_VOID(check_grid({config.grid.dp, config.grid.tp, config.grid.pp}));
  COLLIE_TRY(setup.traits, read_traits(config));
  if (config.data.sequence_length > setup.traits.context_length) {
    return make_error(ErrorCode::invalid_config,
                      "data.sequence_length: {} is more than the {} positions the model allows",
                      config.data.sequence_length, setup.traits.context_length);
  }
  COLLIE_TRY(setup.recompute, parse_recompute(config.train.recompute));
  COLLIE_TRY(setup.tuning, choose_tuning(config, setup.traits));
  COLLIE_TRY_VOID(choose_schedule(config, setup));
  COLLIE_TRY_VOID(check_early_updates(config));
  COLLIE_TRY_VOID(check_zero(config, setup));
  if (config.data.sequence_length < setup.schedule.slices) {
    return make_error(ErrorCode::invalid_config,
                      "data.sequence_length: {} tokens cannot be cut into {} slices; raise it, or "
                      "lower grid.slices or the schedule's own",
                      config.data.sequence_length, setup.schedule.slices);
  }
  COLLIE_TRY(setup.stages,
             partition_model(setup.traits, setup.grid.pp, config.data.sequence_length));
  for (int tensor = 0; tensor < setup.grid.tp; ++tensor) {
    COLLIE_TRY_VOID(declare_parameters(setup.traits, slice_of(setup, {0, 0, tensor})));
  }
  setup.threads = config.grid.threads > 0 ? config.grid.threads
                                          : std::max(1, usable_core_count() / setup.rank_count());
  setup.scheduler_threads = config.grid.scheduler_threads > 0 ? config.grid.scheduler_threads : 1;
  return setup;
}

bool passes_epochs(const RunSetup& setup, double every, std::int64_t steps) {
  if (every <= 0.0 || !setup.train_data) return false;
  // What divides evenly must not fall short by a rounding.
  constexpr double slack = 1e-9;
  const auto passed = [&](std::int64_t done) {
    const double epochs = static_cast<double>(done * setup.layout.global_rows()) /
                          static_cast<double>(setup.train_data->row_count());
    return std::floor(epochs / every + slack);
  };
  return passed(steps) > passed(steps - 1);
}

StageSlice slice_of(const ModelSetup& model, const ShardId& shard) {
  StageSlice slice = model.stages[static_cast<std::size_t>(shard.stage)];
  slice.tp_rank = shard.tensor;
  slice.tp_size = model.grid.tp;
  return slice;
}

Result<ResumePoint> find_resume_point(const RunConfig& config) {
  ResumePoint point;
  const std::string& wanted = config.checkpoint.resume;
  if (wanted == "never") return point;
  if (wanted != "auto") {
    COLLIE_TRY(Checkpoint checkpoint, Checkpoint::open(wanted));
    COLLIE_TRY_VOID(checkpoint.verify());
    point.checkpoint = std::move(checkpoint);
    return point;
  }
  COLLIE_TRY(point, find_latest_checkpoint(config.output.directory));
  if (!point.checkpoint && !point.damaged.empty()) {
    return make_error(ErrorCode::invalid_file,
                      "{}; no older checkpoint is whole: set checkpoint.resume to never to start "
                      "anew",
                      point.damaged.front().message);
  }
  return point;
}

Result<RunSetup> set_up_run(const RunConfig& config, RunKind kind, const ResumePoint& resume) {
  RunSetup setup;
  setup.config = config;
  COLLIE_TRY(setup.model, set_up_model(config));
  if (kind == RunKind::train) {
    COLLIE_TRY_VOID(check_own_model(config));
    COLLIE_TRY_VOID(check_groups(config, setup.model));
  }
  setup.layout = {setup.model.grid.dp, setup.model.micro_batches, config.train.micro_batch_size};
  COLLIE_TRY(Tokenizer tokenizer, make_tokenizer(config, resume));
  setup.tokenizer = std::make_shared<const Tokenizer>(std::move(tokenizer));
  COLLIE_TRY_VOID(open_data(setup, kind));
  return setup;
}

}  // namespace collie
