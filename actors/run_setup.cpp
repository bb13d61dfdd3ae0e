#include "actors/run_setup.hpp"

#include <algorithm>
#include <filesystem>

#include "actors/hosting.hpp"
#include "actors/schedule/files.hpp"
#include "actors/schedule/generators.hpp"
#include "actors/schedule/validate.hpp"
#include "actors/tuning_setup.hpp"
#include "models/dataset/reader.hpp"
#include "models/lr_schedule.hpp"
#include "models/partition.hpp"
#include "models/peft/tuning.hpp"
#include "models/registry.hpp"
#include "runtime/file.hpp"
#include "runtime/glob.hpp"
#include "runtime/suggest.hpp"
#include "runtime/thread_pool.hpp"

namespace collie {

namespace {

Result<ModelTraits> read_traits(const RunConfig& config) {
  if (config.model.is_fresh()) return parse_model_config(config.model.fresh, "model.fresh");
  return read_model_config(config.model.path);
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

ScheduleOptions generator_options(const RunConfig& config) {
  const GridSection& grid = config.grid;
  return {.ranks = grid.pp,
          .micro_batches = static_cast<int>(config.train.accumulation),
          .chunks = grid.chunks,
          .group = grid.group,
          .slices = grid.slices,
          .warm_up_steps = grid.warm_up_steps,
          .forward = grid.plan.forward,
          .input = grid.plan.input,
          .weight = grid.plan.weight,
          .communication = grid.plan.communication,
          .activation = grid.plan.activation,
          .weight_stash = grid.plan.weight_stash,
          .memory_cap = grid.plan.memory_cap};
}

// grid.plan is for schedules that plan; the other keys make_schedule() refuses by itself.
Status check_plan(const std::string& name, const ScheduleOptions& options) {
  const ScheduleGenerator* generator = find_generator(name);
  if (generator == nullptr || generator->takes.memory_cap) return ok_status();
  ScheduleOptions unplanned{.ranks = options.ranks,
                            .micro_batches = options.micro_batches,
                            .chunks = options.chunks,
                            .group = options.group,
                            .slices = options.slices,
                            .warm_up_steps = options.warm_up_steps};
  if (options == unplanned) return ok_status();
  return make_error(ErrorCode::invalid_config,
                    "grid.plan: schedule {} does not plan with costs; leave grid.plan out or use "
                    "zb-auto or zbv-greedy",
                    name);
}

// A generator's, or a file's, which must be of the size that the configuration says.
Result<Schedule> named_schedule(const RunConfig& config) {
  const std::string& name = config.grid.schedule;
  const int ranks = config.grid.pp;
  const auto micro_batches = static_cast<int>(config.train.accumulation);
  const ScheduleOptions options = generator_options(config);
  if (!is_schedule_file(name)) {
    COLLIE_TRY_VOID(check_plan(name, options));
    return make_schedule(name, options);
  }
  if (options != ScheduleOptions{.ranks = ranks, .micro_batches = micro_batches}) {
    return make_error(ErrorCode::invalid_config,
                      "grid.schedule: {} is a file, which says all of the schedule; leave out "
                      "grid.chunks, group, slices, warm_up_steps and plan",
                      name);
  }
  COLLIE_TRY(Schedule schedule, read_schedule(name));
  if (schedule.ranks() == ranks && schedule.micro_batches == micro_batches) return schedule;
  return make_error(
      ErrorCode::invalid_config,
      "{}: has {} ranks and {} micro-batches; set grid.pp and train.accumulation, now "
      "{} and {}, to these",
      name, schedule.ranks(), schedule.micro_batches, ranks, micro_batches);
}

// What stages that update on their own cannot have.
Status check_asynchronous_run(const Schedule& schedule, const Grid& grid,
                              const ModelTraits& traits) {
  if (grid.dp > 1 || grid.tp > 1) {
    return make_error(ErrorCode::unsupported,
                      "schedule {} is asynchronous: set grid.dp and grid.tp to 1, not {} and {}",
                      schedule.name, grid.dp, grid.tp);
  }
  if (traits.tied_embeddings && grid.pp > 1) {
    return make_error(ErrorCode::unsupported,
                      "schedule {} is asynchronous, and the model ties its embeddings: their two "
                      "copies would drift apart; use a synchronous schedule or an untied model",
                      schedule.name);
  }
  return ok_status();
}

// Proves the schedule before anything is made from it.
Status choose_schedule(const RunConfig& config, ModelSetup& setup) {
  COLLIE_TRY(setup.schedule, named_schedule(config));
  COLLIE_TRY_VOID(check_schedule(setup.schedule));
  COLLIE_TRY_VOID(check_trainable(setup.schedule));
  setup.schedule = as_trained(std::move(setup.schedule));
  setup.grid = grid_of(setup.schedule, config.grid.dp, config.grid.tp);
  if (!setup.schedule.contract.synchronous) {
    COLLIE_TRY_VOID(check_asynchronous_run(setup.schedule, setup.grid, setup.traits));
  }
  if (config.train.post_validation && !setup.schedule.contract.synchronous) {
    return make_error(
        ErrorCode::unsupported,
        "train.post_validation: schedule {} is asynchronous, its stages update without "
        "a barrier; set it to false or choose a synchronous schedule",
        setup.schedule.name);
  }
  setup.micro_batches = setup.schedule.micro_batches / setup.schedule.placement.directions();
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
  if (kind == RunKind::train && setup.model.tuning) {
    COLLIE_TRY_VOID(check_training(*setup.model.tuning));
  }
  setup.layout = {setup.model.grid.dp, setup.model.micro_batches, config.train.micro_batch_size};
  COLLIE_TRY(Tokenizer tokenizer, make_tokenizer(config, resume));
  setup.tokenizer = std::make_shared<const Tokenizer>(std::move(tokenizer));
  COLLIE_TRY_VOID(open_data(setup, kind));
  return setup;
}

}  // namespace collie
