#include "actors/training_grid.hpp"

#include "actors/checkpoint.hpp"
#include "actors/delay_options.hpp"
#include "actors/turn_updates.hpp"
#include "models/hf_model.hpp"
#include "models/peft/adapter_files.hpp"
#include "models/peft/magnitudes.hpp"

namespace collie {

namespace {

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
    options.stage.master_weights = setup_.config.model.master_weights;
    options.stage.update_in_backward = update_in_backward;
    options.seed = static_cast<std::uint64_t>(setup_.config.train.seed);
    options.stage.tuning = model.tuning;
    options.stage.loss = loss;
    options.stream.name =
        fmt::format("d{}s{}t{}", options.self.replica, options.self.stage, options.self.tensor);
    options.stream.threads = model.threads;
    options.trains = kind == RunKind::train;
    options.optimizer = setup_.config.train.optimizer;
    options.delay = delay_options(model.schedule, options.self.stage);
    options.zero = static_cast<int>(setup_.config.train.zero);
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

Status TrainingGrid::resume(const Checkpoint& checkpoint) {
  COLLIE_TRY(const CheckpointInfo info, read_checkpoint_info(checkpoint));
  if (info.family != setup_.model.traits.family) {
    return make_error(ErrorCode::invalid_config,
                      "{}: is of a {} model, not {}; set checkpoint.resume to never or choose "
                      "another output.directory",
                      checkpoint.path(), info.family, setup_.model.traits.family);
  }
  const std::string& optimizer = setup_.config.train.optimizer.name;
  const Json saved =
      checkpoint.run().value(Json::json_pointer("/config/train/optimizer/name"), Json(optimizer));
  if (saved != optimizer && executors_.front()->optimizer() != nullptr) {
    return make_error(ErrorCode::invalid_config,
                      "{}: was trained with {}, whose state {} cannot go on with; set "
                      "train.optimizer.name to it, or checkpoint.resume to never",
                      checkpoint.path(), describe_json(saved), optimizer);
  }
  COLLIE_TRY_VOID(check_base(checkpoint.run().value("base", Json()), base_ ? &*base_ : nullptr,
                             checkpoint.path()));
  COLLIE_TRY_VOID(collie::load_checkpoint(checkpoint, executors_));
  gradient_scale_ = info.gradient_scale;
  for (ModelExecutor* executor : executors_) executor->resume_clipping(gradient_scale_);
  const bool same_slices = info.grid.tp == setup_.model.grid.tp;
  if (same_slices && parameter_hash() != info.parameter_hash) {
    return make_error(ErrorCode::invalid_file,
                      "{}: its parameters are not those that were saved; remove it",
                      checkpoint.path());
  }
  warn_about_changes(checkpoint);
  resumed_step_ = info.step;
  resumed_from_ = checkpoint.path();
  callback_state_ = info.callbacks;
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
  options.post_validates = setup_.config.train.post_validation;
  options.batches = [this](Mode mode, std::int64_t step, int replica, int micro_batch) {
    if (mode != Mode::train) return evaluation_batches_(replica, micro_batch, batch_memory_);
    return setup_.train_data->micro_batch(setup_.layout, step, replica, micro_batch, batch_memory_);
  };
  world_ = make_local_world(std::move(options), executors_, setup_.model.scheduler_threads);
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

Result<Generator> TrainingGrid::generator() {
  GeneratorOptions options;
  options.dtype = setup_.config.model.dtype;
  return Generator::make(setup_.model.traits, setup_.tokenizer, setup_.model.tuning, options,
                         [this](Parameters& parameters, Stream& stream) {
                           copy_parameters(executors_, setup_.model.grid, parameters, stream);
                           return ok_status();
                         });
}

Status TrainingGrid::load_checkpoint(const std::string& path) {
  COLLIE_TRY(const Checkpoint checkpoint, Checkpoint::open(path));
  COLLIE_TRY_VOID(checkpoint.verify());
  return collie::load_checkpoint(checkpoint, executors_);
}

Result<std::string> TrainingGrid::save_checkpoint(std::int64_t steps_done, const Json& callbacks,
                                                  const std::string& directory) {
  const RunConfig& config = setup_.config;
  const CheckpointInfo info{steps_done,
                            parameter_hash(),
                            setup_.model.traits.family,
                            setup_.model.grid,
                            base_ ? to_json(*base_) : Json(),
                            callbacks,
                            gradient_scale_};
  const std::string& into = directory.empty() ? config.output.directory : directory;
  COLLIE_TRY(std::string path,
             collie::save_checkpoint(into, config, info, *setup_.tokenizer, executors_));
  if (!directory.empty()) return path;
  COLLIE_TRY_VOID(prune_checkpoints(config.output.directory, config.checkpoint.keep_last));
  return path;
}

Result<std::string> TrainingGrid::save_model() {
  return setup_.model.tuning ? save_tuned() : write_model("model");
}

Result<std::string> TrainingGrid::write_model(const std::string& name) {
  const RunConfig& config = setup_.config;
  const std::string path = join_path(config.output.directory, name);
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
