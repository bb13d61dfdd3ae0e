#include "actors/training_grid.hpp"

#include "actors/checkpoint.hpp"
#include "actors/delay_options.hpp"
#include "models/hf_model.hpp"

namespace collie {

namespace {

OptimizerOptions optimizer_options(const OptimizerSection& section) {
  return {section.name,    section.beta1,        section.beta2,
          section.epsilon, section.weight_decay, section.momentum};
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

Result<std::unique_ptr<TrainingGrid>> TrainingGrid::create(
    const RunConfig& config, RunKind kind, const std::shared_ptr<const Loss>& loss) {
  std::unique_ptr<TrainingGrid> grid(new TrainingGrid);
  if (kind == RunKind::train && is_directory(config.output.directory)) {
    COLLIE_TRY_VOID(remove_leftovers(config.output.directory));
  }
  COLLIE_TRY(const ResumePoint resume_point, find_resume_point(config));
  for (const Error& error : resume_point.damaged) grid->warnings_.push_back(error.message);
  COLLIE_TRY(grid->setup_, set_up_run(config, kind, resume_point));
  const std::size_t data_bytes =
      Dataset::memory_bytes({grid->setup_.train_data.get(), grid->setup_.validation_data.get()});
  COLLIE_TRY_VOID(grid->plan({kind, loss != nullptr, data_bytes}));
  COLLIE_TRY_VOID(grid->make_executors(kind, loss));
  if (resume_point.checkpoint) {
    COLLIE_TRY_VOID(grid->resume(*resume_point.checkpoint));
  } else {
    COLLIE_TRY_VOID(grid->fill_parameters());
  }
  grid->make_world();
  return grid;
}

Status TrainingGrid::plan(const PlanInputs& inputs) {
  COLLIE_TRY(const Plan plan, make_plan(setup_.config, setup_.model, inputs));
  planned_bytes_ = plan.total_bytes;
  return check_plan(plan);
}

Status TrainingGrid::make_executors(RunKind kind, const std::shared_ptr<const Loss>& loss) {
  const ModelSetup& model = setup_.model;
  RankStreams streams(model.grid, model.schedule);
  for (int i = 0; i < model.grid.shard_count(); ++i) {
    ModelExecutorOptions options;
    options.grid = model.grid;
    options.self = shard_at(model.grid, i);
    options.slice = slice_of(model, options.self);
    options.stage.compute_dtype = setup_.config.model.dtype;
    options.stage.recompute = model.recompute;
    options.stage.loss = loss;
    options.stream.name =
        fmt::format("d{}s{}t{}", options.self.replica, options.self.stage, options.self.tensor);
    options.stream.threads = model.threads;
    options.trains = kind == RunKind::train;
    options.optimizer = optimizer_options(setup_.config.train.optimizer);
    options.delay = delay_options(model.schedule, options.self.stage);
    streams.assign(i, options);
    COLLIE_TRY(auto executor, ModelExecutor::create(model.traits, std::move(options)));
    executors_.push_back(executor.get());
    owned_.push_back(std::move(executor));
  }
  return ok_status();
}

// Runs on every shard's stream at once; the first error is reported.
Status TrainingGrid::fill_parameters() {
  std::optional<TensorDirectory> files;
  if (!setup_.config.model.is_fresh()) {
    COLLIE_TRY(TensorDirectory opened, TensorDirectory::open(setup_.config.model.path));
    files = std::move(opened);
  }
  const auto seed = static_cast<std::uint64_t>(setup_.config.train.seed);
  for (ModelExecutor* executor : executors_) {
    executor->stream().submit([this, executor, &files, seed] {
      if (!files) {
        executor->parameters().initialize(executor->stream(), seed);
        return;
      }
      Status status =
          load_parameters(*files, setup_.model.traits, executor->parameters(), executor->stream());
      if (!status) executor->stream().set_error(std::move(status).error());
    });
  }
  for (ModelExecutor* executor : executors_) executor->stream().synchronize();
  for (ModelExecutor* executor : executors_) COLLIE_TRY_VOID(executor->stream().status());
  return ok_status();
}

Status TrainingGrid::resume(const Checkpoint& checkpoint) {
  COLLIE_TRY(const CheckpointInfo info, read_checkpoint_info(checkpoint));
  if (info.family != setup_.model.traits.family) {
    return make_error(ErrorCode::invalid_config,
                      "{}: is of a {} model, not {}; set checkpoint.resume to never or choose "
                      "another output.directory",
                      checkpoint.path(), info.family, setup_.model.traits.family);
  }
  COLLIE_TRY_VOID(load_checkpoint(checkpoint, executors_));
  const bool same_slices = info.grid.tp == setup_.model.grid.tp;
  if (same_slices && parameter_hash() != info.parameter_hash) {
    return make_error(ErrorCode::invalid_file,
                      "{}: its parameters are not those that were saved; remove it",
                      checkpoint.path());
  }
  warn_about_changes(checkpoint);
  resumed_step_ = info.step;
  resumed_from_ = checkpoint.path();
  return ok_status();
}

// Keys that decide which data a step sees: with another value, some is seen twice or not at all.
void TrainingGrid::warn_about_changes(const Checkpoint& checkpoint) {
  const Json now = to_json(setup_.config);
  for (const char* key :
       {"/data/train", "/data/sequence_length", "/data/packing", "/data/validation_fraction",
        "/train/seed", "/train/micro_batch_size", "/train/accumulation", "/grid/dp"}) {
    const Json::json_pointer pointer(key);
    const Json saved =
        checkpoint.run().value(Json::json_pointer("/config" + std::string(key)), Json(nullptr));
    if (saved == now.at(pointer)) continue;
    warnings_.push_back(fmt::format("{} is {} and was {} when the run was saved", key + 1,
                                    describe_json(now.at(pointer)), describe_json(saved)));
  }
}

void TrainingGrid::make_world() {
  WorldOptions options;
  options.grid = setup_.model.grid;
  options.schedule = setup_.model.schedule;
  options.depth = 2;  // the next action is on the stream before the last one's note arrives
  options.batches = [this](Mode mode, std::int64_t step, int replica, int micro_batch) {
    const Dataset& data = mode == Mode::train ? *setup_.train_data : *setup_.validation_data;
    return data.micro_batch(setup_.layout, step, replica, micro_batch, batch_memory_);
  };
  world_ = make_local_world(std::move(options), executors_, setup_.model.scheduler_threads);
}

std::size_t TrainingGrid::replica_shards() const {
  return static_cast<std::size_t>(setup_.model.grid.pp * setup_.model.grid.tp);
}

std::uint64_t TrainingGrid::parameter_hash() {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < replica_shards(); ++i) sum += executors_[i]->parameter_hash();
  return sum;
}

Result<std::string> TrainingGrid::save_checkpoint(std::int64_t steps_done) {
  const RunConfig& config = setup_.config;
  const CheckpointInfo info{steps_done, parameter_hash(), setup_.model.traits.family,
                            setup_.model.grid};
  COLLIE_TRY(std::string path, collie::save_checkpoint(config.output.directory, config, info,
                                                       *setup_.tokenizer, executors_));
  COLLIE_TRY_VOID(prune_checkpoints(config.output.directory, config.checkpoint.keep_last));
  return path;
}

Result<std::string> TrainingGrid::save_model() {
  const RunConfig& config = setup_.config;
  const std::string path = join_path(config.output.directory, "model");
  COLLIE_TRY(DirectoryWriter directory, DirectoryWriter::create(path));
  ModelAssembler assembler;
  for (std::size_t i = 0; i < replica_shards(); ++i) assembler.add(executors_[i]->parameters());
  SaveOptions save;
  save.dtype = save_dtype(config, setup_.model.traits);
  COLLIE_TRY_VOID(assembler.write(directory, setup_.model.traits, save));
  COLLIE_TRY_VOID(setup_.tokenizer->save(directory.temporary_path()));
  if (!config.model.is_fresh()) {
    COLLIE_TRY_VOID(copy_companion_files(config.model.path, directory));
  }
  COLLIE_TRY_VOID(directory.commit());
  return path;
}

}  // namespace collie
