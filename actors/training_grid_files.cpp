// Checkpoints and models of a run: how it goes on from one and what it writes.
#include "actors/checkpoint.hpp"
#include "actors/training_grid.hpp"
#include "models/hf_model.hpp"

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
  return setup_.model.tuning ? save_tuned() : write_model("model", ModelPart::trained);
}

Result<std::string> TrainingGrid::write_model(const std::string& name, ModelPart part) {
  const RunConfig& config = setup_.config;
  const std::string path = join_path(config.output.directory, name);
  COLLIE_TRY(DirectoryWriter directory, DirectoryWriter::create(path));
  ModelAssembler assembler;
  for (std::size_t i = 0; i < replica_shards(); ++i) {
    ModelExecutor& executor = *executors_[i];
    if (part == ModelPart::trained) {
      assembler.add(executor.parameters());
    } else {
      add_whole(assembler, executor, part == ModelPart::merged);
    }
  }
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
