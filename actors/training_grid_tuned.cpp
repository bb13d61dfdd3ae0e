// What a tuned run saves, and how its adapter goes into the model's weights and out again.
#include <algorithm>

#include "actors/training_grid.hpp"
#include "models/peft/adapter_files.hpp"
#include "models/peft/merge.hpp"

namespace collie {

namespace {

// Adapters are small, and what is not asked for is not rounded.
DType adapter_dtype(SaveDtype wanted) {
  if (wanted == SaveDtype::bfloat16) return DType::bf16;
  return wanted == SaveDtype::float16 ? DType::f16 : DType::f32;
}

}  // namespace

Status TrainingGrid::merge_adapter() {
  const Tuning& tuning = *setup_.model.tuning;
  COLLIE_TRY_VOID(check_mergeable(tuning, setup_.model.grid.tp));
  return on_streams([&](ModelExecutor& executor) {
    collie::merge_adapter(tuning, executor.parameters(), executor.stream());
    return ok_status();
  });
}

Status TrainingGrid::unmerge_adapter() {
  return on_streams([this](ModelExecutor& executor) {
    return collie::unmerge_adapter(executor.parameters(), executor.stream(),
                                   [&] { return fill_base(executor); });
  });
}

// A model drawn from the seed stands nowhere else, and its adapter is of no use without it.
Status TrainingGrid::save_fresh_base() {
  std::vector<std::vector<Tensor>> trained(executors_.size());
  COLLIE_TRY_VOID(on_streams([&](ModelExecutor& executor) {
    const auto index = std::ranges::find(executors_, &executor) - executors_.begin();
    trained[static_cast<std::size_t>(index)] =
        copy_trained(executor.parameters(), executor.stream());
    return fill_base(executor);
  }));
  const Result<std::string> written = write_model("base");
  if (!written) return written.error();
  return on_streams([&](ModelExecutor& executor) {
    const auto index = std::ranges::find(executors_, &executor) - executors_.begin();
    put_trained(trained[static_cast<std::size_t>(index)], executor.parameters(), executor.stream());
    return ok_status();
  });
}

Result<std::string> TrainingGrid::save_tuned() {
  const RunConfig& config = setup_.config;
  std::string base = config.model.path;
  if (config.model.is_fresh()) {
    COLLIE_TRY_VOID(save_fresh_base());
    base = join_path(config.output.directory, "base");
  }
  if (config.tuning.save_merged) {
    COLLIE_TRY_VOID(merge_adapter());
    const Result<std::string> written = write_model("model");
    if (!written) return written.error();
    COLLIE_TRY_VOID(unmerge_adapter());
  }
  std::vector<Parameters*> replica;
  for (std::size_t i = 0; i < replica_shards(); ++i)
    replica.push_back(&executors_[i]->parameters());
  const std::string path = join_path(config.output.directory, "adapter");
  COLLIE_TRY(DirectoryWriter directory, DirectoryWriter::create(path));
  Stream& stream = executors_.front()->stream();
  Status written = ok_status();
  stream.submit([&] {
    written = write_adapter(directory, *setup_.model.tuning, setup_.model.traits, replica, base,
                            adapter_dtype(config.output.save_dtype), stream);
  });
  stream.synchronize();
  COLLIE_TRY_VOID(written);
  COLLIE_TRY_VOID(directory.commit());
  return path;
}

}  // namespace collie
