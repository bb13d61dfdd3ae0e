#include "actors/trainer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include "actors/checkpoint.hpp"
#include "actors/metrics_log.hpp"
#include "actors/plan.hpp"
#include "actors/run_setup.hpp"
#include "actors/world.hpp"
#include "kernels/peak.hpp"
#include "models/flops.hpp"
#include "models/hf_model.hpp"
#include "models/lr_schedule.hpp"

namespace collie {

namespace {

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

OptimizerOptions optimizer_options(const OptimizerSection& section) {
  return {section.name, section.beta1, section.beta2, section.epsilon, section.weight_decay};
}

// The type a Hugging Face configuration says its weights have.
DType declared_dtype(const ModelTraits& traits) {
  for (const char* key : {"dtype", "torch_dtype"}) {
    const auto found = traits.hf_config.find(key);
    if (found == traits.hf_config.end() || !found->is_string()) continue;
    if (*found == "bfloat16") return DType::bf16;
    if (*found == "float16") return DType::f16;
  }
  return DType::f32;
}

DType save_dtype(const RunConfig& config, const ModelTraits& traits) {
  switch (config.output.save_dtype) {
    case SaveDtype::float32:
      return DType::f32;
    case SaveDtype::bfloat16:
      return DType::bf16;
    case SaveDtype::float16:
      return DType::f16;
    case SaveDtype::same:
      break;
  }
  return config.model.is_fresh() ? config.model.dtype : declared_dtype(traits);
}

}  // namespace

struct Trainer::Impl {
  RunSetup setup;
  TrainerOptions options;
  std::vector<std::unique_ptr<ModelExecutor>> owned;
  Executors executors;
  Allocator batch_memory{"feeder"};
  std::unique_ptr<World> world;
  std::vector<std::shared_ptr<Callback>> callbacks;
  std::int64_t steps_done = 0;
  std::string resumed_from;
  std::vector<std::string> warnings;
  std::size_t planned_bytes = 0;
  double peak_flops = 0.0;
  double flops_per_token = 0.0;

  Status build_executors();
  void build_world();
  Status fill_parameters();
  Result<bool> resume();
  MicroBatch batch(Mode mode, std::int64_t step, int replica, int micro_batch);
  Result<StepEvent> step();
  Result<EvaluationEvent> evaluate();
  Status save_checkpoint();
  Result<std::string> save_model();
  std::uint64_t parameter_hash();
  Status train(TrainingReport& report);
  bool due(std::int64_t every) const { return every > 0 && steps_done % every == 0; }
  bool stop_requested() const { return options.stop != nullptr && options.stop->load(); }
  template <class Event>
  void tell(void (Callback::*method)(const Event&), const Event& event) {
    for (const auto& callback : callbacks) (callback.get()->*method)(event);
  }
};

Status Trainer::Impl::build_executors() {
  const ModelSetup& model = setup.model;
  for (int i = 0; i < model.grid.shard_count(); ++i) {
    ModelExecutorOptions executor;
    executor.grid = model.grid;
    executor.self = shard_at(model.grid, i);
    executor.slice = slice_of(model, executor.self);
    executor.stage.compute_dtype = setup.config.model.dtype;
    executor.stage.recompute = model.recompute;
    executor.stage.loss = options.loss;
    executor.stream.name =
        fmt::format("d{}s{}t{}", executor.self.replica, executor.self.stage, executor.self.tensor);
    executor.stream.threads = model.threads;
    executor.optimizer = optimizer_options(setup.config.train.optimizer);
    COLLIE_TRY(auto made, ModelExecutor::create(model.traits, std::move(executor)));
    executors.push_back(made.get());
    owned.push_back(std::move(made));
  }
  return ok_status();
}

void Trainer::Impl::build_world() {
  WorldOptions world_options;
  world_options.grid = setup.model.grid;
  world_options.schedule = setup.model.schedule;
  world_options.depth = 2;  // the next action is on the stream before the last one's note arrives
  world_options.batches = [this](Mode mode, std::int64_t step, int replica, int micro_batch) {
    return batch(mode, step, replica, micro_batch);
  };
  world = make_local_world(std::move(world_options), executors, setup.model.scheduler_threads);
}

MicroBatch Trainer::Impl::batch(Mode mode, std::int64_t step, int replica, int micro_batch) {
  const Dataset& data = mode == Mode::train ? setup.data->train : *setup.data->validation;
  return data.micro_batch(setup.layout, step, replica, micro_batch, batch_memory);
}

// Runs on every shard's stream at once; the first error is reported.
Status Trainer::Impl::fill_parameters() {
  std::optional<TensorDirectory> files;
  if (!setup.config.model.is_fresh()) {
    COLLIE_TRY(TensorDirectory opened, TensorDirectory::open(setup.config.model.path));
    files = std::move(opened);
  }
  const auto seed = static_cast<std::uint64_t>(setup.config.train.seed);
  for (ModelExecutor* executor : executors) {
    executor->stream().submit([this, executor, &files, seed] {
      if (!files) {
        executor->parameters().initialize(executor->stream(), seed);
        return;
      }
      Status status =
          load_parameters(*files, setup.model.traits, executor->parameters(), executor->stream());
      if (!status) executor->stream().set_error(std::move(status).error());
    });
  }
  for (ModelExecutor* executor : executors) executor->stream().synchronize();
  for (ModelExecutor* executor : executors) COLLIE_TRY_VOID(executor->stream().status());
  return ok_status();
}

Result<bool> Trainer::Impl::resume() {
  const std::string& wanted = setup.config.checkpoint.resume;
  if (wanted == "never") return false;
  std::optional<Checkpoint> checkpoint;
  if (wanted == "auto") {
    COLLIE_TRY(FoundCheckpoint found, find_latest_checkpoint(setup.config.output.directory));
    for (const Error& error : found.damaged) warnings.push_back(error.message);
    checkpoint = std::move(found.checkpoint);
    if (!checkpoint) return false;
  } else {
    COLLIE_TRY(Checkpoint opened, Checkpoint::open(wanted));
    COLLIE_TRY_VOID(opened.verify());
    checkpoint = std::move(opened);
  }
  COLLIE_TRY(const CheckpointInfo info, read_checkpoint_info(*checkpoint));
  if (info.family != setup.model.traits.family) {
    return make_error(ErrorCode::invalid_config,
                      "{}: is of a {} model, not {}; set checkpoint.resume to never or choose "
                      "another output.directory",
                      checkpoint->path(), info.family, setup.model.traits.family);
  }
  COLLIE_TRY_VOID(load_checkpoint(*checkpoint, executors));
  steps_done = info.step;
  resumed_from = checkpoint->path();
  return true;
}

Result<StepEvent> Trainer::Impl::step() {
  const TrainSection& train = setup.config.train;
  const auto begin = std::chrono::steady_clock::now();
  RoundRequest request;
  request.step = steps_done;
  request.micro_batches = static_cast<int>(train.accumulation);
  request.learning_rate = learning_rate(train, setup.total_steps, steps_done);
  request.clip_norm = train.clip_norm;
  COLLIE_TRY(const RoundOutcome outcome, world->round(request));
  ++steps_done;
  StepEvent event;
  event.step = steps_done;
  event.total_steps = setup.total_steps;
  event.epoch = static_cast<double>(steps_done * setup.layout.global_rows()) /
                static_cast<double>(setup.data->train.row_count());
  event.loss = outcome.loss;
  event.learning_rate = request.learning_rate;
  event.gradient_norm = outcome.gradient_norm;
  event.tokens = outcome.tokens;
  event.valid_tokens = outcome.valid_tokens;
  event.seconds = seconds_since(begin);
  event.tokens_per_s = static_cast<double>(outcome.tokens) / event.seconds;
  event.mfu = event.tokens_per_s * flops_per_token / peak_flops;
  for (const std::size_t bytes : outcome.peak_bytes) event.peak_bytes += bytes;
  return event;
}

Result<EvaluationEvent> Trainer::Impl::evaluate() {
  const auto begin = std::chrono::steady_clock::now();
  if (!setup.data->validation) {
    return make_error(ErrorCode::invalid_config,
                      "data.validation: there is no validation data; name files or set "
                      "data.validation_fraction");
  }
  const std::int64_t per_round = setup.layout.dp * setup.layout.accumulation;
  std::int64_t rounds = setup.data->validation->steps_per_epoch(setup.layout);
  const std::int64_t wanted = setup.config.eval.max_batches;
  if (wanted > 0) rounds = std::min(rounds, (wanted + per_round - 1) / per_round);
  EvaluationEvent event;
  event.step = steps_done;
  double sum = 0.0;
  for (std::int64_t round = 0; round < rounds; ++round) {
    RoundRequest request;
    request.mode = Mode::evaluate;
    request.step = round;
    request.micro_batches = static_cast<int>(setup.layout.accumulation);
    COLLIE_TRY(const RoundOutcome outcome, world->round(request));
    sum += outcome.loss * static_cast<double>(outcome.valid_tokens);
    event.valid_tokens += outcome.valid_tokens;
  }
  event.loss = sum / static_cast<double>(std::max<std::int64_t>(1, event.valid_tokens));
  event.perplexity = std::exp(event.loss);
  event.seconds = seconds_since(begin);
  return event;
}

std::uint64_t Trainer::Impl::parameter_hash() {
  std::uint64_t sum = 0;
  const int shards = setup.model.grid.pp * setup.model.grid.tp;
  for (int i = 0; i < shards; ++i) sum += executors[static_cast<std::size_t>(i)]->parameter_hash();
  return sum;
}

Status Trainer::Impl::save_checkpoint() {
  const auto begin = std::chrono::steady_clock::now();
  const RunConfig& config = setup.config;
  const CheckpointInfo info{steps_done, parameter_hash(), setup.model.traits.family,
                            setup.model.grid};
  COLLIE_TRY(std::string path,
             collie::save_checkpoint(config.output.directory, config, info, executors));
  COLLIE_TRY_VOID(prune_checkpoints(config.output.directory, config.checkpoint.keep_last));
  tell(&Callback::on_save, SaveEvent{steps_done, std::move(path), false, seconds_since(begin)});
  return ok_status();
}

Result<std::string> Trainer::Impl::save_model() {
  const auto begin = std::chrono::steady_clock::now();
  const RunConfig& config = setup.config;
  const std::string path = join_path(config.output.directory, "model");
  COLLIE_TRY(DirectoryWriter directory, DirectoryWriter::create(path));
  ModelAssembler assembler;
  const auto shards = static_cast<std::size_t>(setup.model.grid.pp * setup.model.grid.tp);
  for (std::size_t i = 0; i < shards; ++i) assembler.add(executors[i]->parameters());
  SaveOptions save;
  save.dtype = save_dtype(config, setup.model.traits);
  COLLIE_TRY_VOID(assembler.write(directory, setup.model.traits, save));
  COLLIE_TRY_VOID(setup.tokenizer->save(directory.temporary_path()));
  COLLIE_TRY_VOID(directory.commit());
  tell(&Callback::on_save, SaveEvent{steps_done, path, true, seconds_since(begin)});
  return path;
}

Status Trainer::Impl::train(TrainingReport& report) {
  const RunConfig& config = setup.config;
  while (steps_done < setup.total_steps) {
    COLLIE_TRY(const StepEvent event, step());
    report.final_loss = event.loss;
    tell(&Callback::on_step, event);
    const bool last = steps_done == setup.total_steps;
    report.stopped_early = !last && stop_requested();
    if (setup.data->validation && !last && !report.stopped_early && due(config.eval.every_steps)) {
      COLLIE_TRY(const EvaluationEvent evaluation, evaluate());
      tell(&Callback::on_evaluation, evaluation);
    }
    if (last || report.stopped_early || due(config.checkpoint.every_steps)) {
      COLLIE_TRY_VOID(save_checkpoint());
    }
    if (report.stopped_early) break;
  }
  return ok_status();
}

Trainer::Trainer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

Result<Trainer> Trainer::create(RunConfig config, TrainerOptions options) {
  auto impl = std::make_unique<Impl>();
  COLLIE_TRY(impl->setup, set_up_run(config));
  impl->options = std::move(options);
  if (impl->options.loss && config.grid.tp > 1) {
    return make_error(
        ErrorCode::unsupported,
        "grid.tp: a loss of one's own needs the whole vocabulary, so grid.tp must be 1");
  }
  COLLIE_TRY(const Plan plan, make_plan(config, impl->setup.model));
  COLLIE_TRY_VOID(check_plan(plan));
  impl->planned_bytes = plan.total_bytes;
  COLLIE_TRY_VOID(impl->build_executors());
  COLLIE_TRY_VOID(impl->fill_parameters());
  COLLIE_TRY_VOID(impl->resume());
  impl->build_world();
  const ModelSetup& model = impl->setup.model;
  impl->flops_per_token = training_flops_per_token(model.traits, config.data.sequence_length);
  const int lanes = std::min(static_cast<int>(std::thread::hardware_concurrency()),
                             model.grid.shard_count() * model.threads);
  impl->peak_flops = kernels::measure_peak_flops(config.model.dtype) * std::max(1, lanes);
  return Trainer(std::move(impl));
}

void Trainer::add_callback(std::shared_ptr<Callback> callback) {
  impl_->callbacks.push_back(std::move(callback));
}

Result<EvaluationEvent> Trainer::evaluate() {
  return impl_->evaluate();
}

Result<TrainingReport> Trainer::run() {
  const auto begin = std::chrono::steady_clock::now();
  Impl& impl = *impl_;
  const RunConfig& config = impl.setup.config;
  TrainingReport report;
  COLLIE_TRY_VOID(make_directories(config.output.directory));
  if (impl.options.write_metrics) {
    report.metrics_path = join_path(config.output.directory, "metrics.jsonl");
    COLLIE_TRY(auto log, MetricsLog::open(report.metrics_path, LineMode::append));
    impl.callbacks.insert(impl.callbacks.begin(), std::move(log));
  }
  RunInfo info{config, impl.setup.model.traits};
  info.first_step = impl.steps_done + 1;
  info.total_steps = impl.setup.total_steps;
  info.parameter_count = parameter_count(impl.setup.model.traits);
  info.flops_per_token = impl.flops_per_token;
  info.peak_flops = impl.peak_flops;
  info.planned_bytes = impl.planned_bytes;
  info.resumed_from = impl.resumed_from;
  info.warnings = impl.warnings;
  impl.tell(&Callback::on_start, info);
  COLLIE_TRY_VOID(impl.train(report));
  report.steps_done = impl.steps_done;
  report.parameter_hash = impl.parameter_hash();
  if (!report.stopped_early) {
    if (impl.setup.data->validation) {
      COLLIE_TRY(const EvaluationEvent evaluation, impl.evaluate());
      report.validation_loss = evaluation.loss;
      report.perplexity = evaluation.perplexity;
      impl.tell(&Callback::on_evaluation, evaluation);
    }
    COLLIE_TRY(report.model_directory, impl.save_model());
  }
  report.seconds = seconds_since(begin);
  impl.tell(&Callback::on_end, report);
  return report;
}

}  // namespace collie
