// What a tuned run saves, and how its adapter goes into the model's weights and out again.
#include <algorithm>

#include "actors/training_grid.hpp"
#include "kernels/elementwise.hpp"
#include "models/hf_model.hpp"
#include "models/peft/adapter_base.hpp"
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
  COLLIE_TRY_VOID(check_mergeable(tuning, setup_.model.traits, setup_.model.grid.tp));
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

// As the base's files have it or its seed draws it: what is kept of it here may be rounded.
Tensor TrainingGrid::base_value(ModelExecutor& executor, int index) const {
  ParameterSpec spec = executor.parameters().specs()[static_cast<std::size_t>(index)];
  spec.joined = false;
  Parameters alone(executor.stream().allocator(), {spec}, DType::f32, false);
  if (base_files_) {
    load_parameter(*base_files_, setup_.model.traits, spec, alone.value(0));
  } else {
    alone.initialize(executor.stream(), static_cast<std::uint64_t>(setup_.config.train.seed));
  }
  return alone.value(0);
}

void TrainingGrid::add_whole(ModelAssembler& assembler, ModelExecutor& executor, bool merged) {
  const Parameters& parameters = executor.parameters();
  for (int index = 0; index < parameters.count(); ++index) {
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
    if (parameters.is_alias(index) || spec.adapter || !parameters.holds_value(index)) continue;
    assembler.add(spec, [this, &executor, &parameters, index, merged] {
      Tensor value;
      Stream& stream = executor.stream();
      stream.submit([&] {
        value = base_value(executor, index);
        if (!merged) return;
        if (parameters.is_trainable(index)) {
          kernels::cast(stream, parameters.value(index), value);
        }
        merge_into(*setup_.model.tuning, parameters, stream, index, value);
      });
      stream.synchronize();
      return value;
    });
  }
}

// One parameter is in memory at a time, in float32; the grid's own stay as they are.
Result<std::string> TrainingGrid::save_tuned() {
  const RunConfig& config = setup_.config;
  std::string base = config.model.path;
  if (config.model.is_fresh() || setup_.model.traits.rows_in_files > 0) {
    // A model drawn from the seed, or with more rows than its files, stands nowhere else, and its
    // adapter is of no use without it.
    const Result<std::string> written = write_model("base", ModelPart::base);
    if (!written) return written.error();
    base = *written;
  }
  if (config.tuning.save_merged) {
    const Result<std::string> written = write_model("model", ModelPart::merged);
    if (!written) return written.error();
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
  COLLIE_TRY_VOID(write_adapter_base(directory, base));
  COLLIE_TRY_VOID(directory.commit());
  return path;
}

}  // namespace collie
