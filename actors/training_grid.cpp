#include "actors/training_grid.hpp"

#include "actors/curvature.hpp"
#include "actors/delay_options.hpp"
#include "actors/turn_updates.hpp"
#include "models/hf_model.hpp"
#include "models/peft/adapter_files.hpp"
#include "models/peft/magnitudes.hpp"

namespace collie {

Result<std::unique_ptr<TrainingGrid>> TrainingGrid::create(
    const RunConfig& config, RunKind kind, const std::shared_ptr<const Loss>& loss) {
  std::unique_ptr<TrainingGrid> grid(new TrainingGrid);
  if (kind == RunKind::train && is_directory(config.output.directory)) {
    COLLIE_TRY_VOID(remove_leftovers(config.output.directory));
  }
  COLLIE_TRY(const ResumePoint resume_point, find_resume_point(config));
  for (const Error& error : resume_point.damaged) grid->warnings_.push_back(error.message);
  COLLIE_TRY(grid->setup_, set_up_run(config, kind, resume_point));
  grid->warn_about_cuts();
  const std::size_t data_bytes =
      Dataset::memory_bytes({grid->setup_.train_data.get(), grid->setup_.validation_data.get()});
  COLLIE_TRY_VOID(
      grid->plan({kind, loss != nullptr, data_bytes, loss ? loss->rows_together() : 0}));
  COLLIE_TRY_VOID(grid->make_executors(kind, loss));
  // A checkpoint of a tuned run holds what is trained alone.
  if (!resume_point.checkpoint || grid->setup_.model.tuning) {
    COLLIE_TRY_VOID(grid->fill_parameters());
  }
  if (resume_point.checkpoint) COLLIE_TRY_VOID(grid->resume(*resume_point.checkpoint));
  grid->make_world();
  return grid;
}

void TrainingGrid::warn_about_cuts() {
  const auto warn = [this](std::string_view what, const Dataset* data) {
    if (data == nullptr || data->statistics().truncated == 0) return;
    const DatasetStatistics& has = data->statistics();
    warnings_.push_back(
        fmt::format("{}: {} of {} records are longer than data.sequence_length {} and were cut, {} "
                    "of them left "
                    "out with nothing to learn; raise it to keep them",
                    what, has.truncated, has.documents + has.dropped,
                    setup_.config.data.sequence_length, has.dropped));
  };
  warn("training data", setup_.train_data.get());
  warn("validation data", setup_.validation_data.get());
}

Status TrainingGrid::plan(const PlanInputs& inputs) {
  COLLIE_TRY(const Plan plan, make_plan(setup_.config, setup_.model, inputs));
  planned_bytes_ = plan.total_bytes;
  return check_plan(plan);
}

Status TrainingGrid::make_executors(RunKind kind, const std::shared_ptr<const Loss>& loss) {
  const ModelSetup& model = setup_.model;
  COLLIE_TRY(const UpdateInBackward update_in_backward,
             choose_update_in_backward(setup_.config, model));
  RankStreams streams(model.grid, model.schedule);
  for (int i = 0; i < model.grid.shard_count(); ++i) {
    ModelExecutorOptions options;
    options.grid = model.grid;
    options.self = shard_at(model.grid, i);
    options.slice = slice_of(model, options.self);
    options.stage.compute_dtype = setup_.config.model.dtype;
    options.stage.recompute = model.recompute;
    options.stage.master_weights = keeps_master_weights(setup_.config, model);
    options.stage.update_in_backward = update_in_backward;
    options.seed = static_cast<std::uint64_t>(setup_.config.train.seed);
    options.stage.tuning = model.tuning;
    options.stage.dropout = setup_.config.model.dropout;
    options.stage.dropout_seed = options.seed;
    options.stage.loss = loss;
    options.stream.name =
        fmt::format("d{}s{}t{}", options.self.replica, options.self.stage, options.self.tensor);
    options.stream.threads = model.threads;
    options.trains = kind == RunKind::train;
    options.optimizer = setup_.config.train.optimizer;
    options.delay = delay_options(model.schedule, options.self.stage);
    options.zero = static_cast<int>(setup_.config.train.zero);
    options.zero_copies = setup_.config.train.zero_copies;
    options.zero_prefetch = static_cast<int>(setup_.config.train.zero_prefetch);
    streams.assign(i, options);
    COLLIE_TRY(auto executor, ModelExecutor::create(model.traits, std::move(options)));
    executors_.push_back(executor.get());
    owned_.push_back(std::move(executor));
  }
  return ok_status();
}

// Runs on every shard's stream at once; the first error is reported.
Status TrainingGrid::on_streams(const std::function<Status(ModelExecutor&)>& work) {
  for (ModelExecutor* executor : executors_) {
    executor->stream().submit([executor, &work] {
      Status status = work(*executor);
      if (!status) executor->stream().set_error(std::move(status).error());
    });
  }
  for (ModelExecutor* executor : executors_) executor->stream().synchronize();
  for (ModelExecutor* executor : executors_) COLLIE_TRY_VOID(executor->stream().status());
  return ok_status();
}

Status TrainingGrid::fill_base(ModelExecutor& executor) const {
  if (base_files_) {
    return load_parameters(*base_files_, setup_.model.traits, executor.parameters(),
                           executor.stream());
  }
  const auto seed = static_cast<std::uint64_t>(setup_.config.train.seed);
  executor.parameters().initialize(executor.stream(), seed);
  return ok_status();
}

Status TrainingGrid::fill_adapter(ModelExecutor& executor) const {
  const ModelSetup& model = setup_.model;
  const std::string& adapter = setup_.config.tuning.adapter;
  if (!adapter.empty()) {
    return load_adapter(adapter, *model.tuning, model.traits, executor.parameters(),
                        executor.stream());
  }
  const auto seed = static_cast<std::uint64_t>(setup_.config.train.seed);
  executor.parameters().initialize_adapters(executor.stream(), seed);
  return initialize_magnitudes(base_files_ ? &*base_files_ : nullptr, seed, model.traits,
                               executor.parameters(), executor.stream());
}

Status TrainingGrid::fill_parameters() {
  const ModelSetup& model = setup_.model;
  if (!setup_.config.model.is_fresh()) {
    COLLIE_TRY(base_files_, TensorDirectory::open(setup_.config.model.path));
  }
  if (model.tuning) {
    COLLIE_TRY(base_, identify_base(setup_.config, *model.tuning, model.traits));
  }
  return on_streams([this](ModelExecutor& executor) -> Status {
    COLLIE_TRY_VOID(fill_base(executor));
    return setup_.model.tuning ? fill_adapter(executor) : ok_status();
  });
}

void TrainingGrid::make_world() {
  WorldOptions options;
  options.grid = setup_.model.grid;
  options.schedule = setup_.model.schedule;
  options.depth = 2;  // the next action is on the stream before the last one's note arrives
  options.post_validates = setup_.config.train.post_validation;
  options.batches = [this](Mode mode, std::int64_t step, int replica, int micro_batch) {
    if (mode != Mode::train) return evaluation_batches_(replica, micro_batch, batch_memory_);
    return setup_.train_data->micro_batch(setup_.layout, step, replica, micro_batch, batch_memory_);
  };
  world_ = make_local_world(std::move(options), executors_, setup_.model.scheduler_threads);
}

std::optional<RoundRequest> TrainingGrid::curvature_before(const RoundRequest& request) const {
  const Optimizer* optimizer = executors_.front()->optimizer();
  if (optimizer == nullptr) return std::nullopt;
  const TrainSection& train = setup_.config.train;
  return curvature_round(request, *optimizer, train.optimizer,
                         static_cast<std::uint64_t>(train.seed));
}

Result<RoundOutcome> TrainingGrid::round(const RoundRequest& request,
                                         const std::optional<RoundRequest>& next) {
  if (const auto estimate = curvature_before(request)) {
    COLLIE_TRY_VOID(world_->round(*estimate));
  }
  COLLIE_TRY(RoundOutcome outcome, world_->round(request, next));
  if (request.mode == Mode::train) {
    gradient_scale_ = clip_scale(outcome.gradient_norm, request.clip_norm);
  }
  return outcome;
}

// The first executors, as many as hold all values together: with ZeRO-3 every replica's.
std::size_t TrainingGrid::replica_shards() const {
  if (executors_.front()->parameters().sharding().shares_values()) return executors_.size();
  return static_cast<std::size_t>(setup_.model.grid.pp * setup_.model.grid.tp);
}

std::uint64_t TrainingGrid::parameter_hash() {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < replica_shards(); ++i) sum += executors_[i]->parameter_hash();
  return sum;
}

Result<RoundOutcome> TrainingGrid::evaluate(std::int64_t number, EvaluationBatches batches) {
  // The feeder reads it in the round that is begun after this and ends before the next call.
  evaluation_batches_ = std::move(batches);
  RoundRequest request;
  request.mode = Mode::evaluate;
  request.step = number;
  request.micro_batches = static_cast<int>(setup_.layout.accumulation);
  Result<RoundOutcome> outcome = round(request);
  evaluation_batches_ = nullptr;
  return outcome;
}

}  // namespace collie
