// Checkpoints of a grid: every parameter and every store of optimizer state as whole tensors under
// their canonical names, so a run may be resumed on any other grid.
#pragma once

#include <string>

#include "actors/run_setup.hpp"
#include "actors/world.hpp"
#include "runtime/checkpoint_files.hpp"

namespace collie {

// What a checkpoint says of its run beside the tensors.
struct CheckpointInfo {
  std::int64_t step = 0;
  std::uint64_t parameter_hash = 0;
  std::string family;
  Grid grid;
  Json base = nullptr;  // what an adapter stands beside (TunedBase); null: the model is whole
  Json callbacks = Json::object();  // what each of them keeps, by its name
  double gradient_scale = 1.0;      // what clipping scaled the last step's gradient by
};

// From replica 0, between rounds, with the tokenizer: a resumed run must have the same ids. Returns
// the checkpoint's path.
Result<std::string> save_checkpoint(const std::string& run_directory, const RunConfig& config,
                                    const CheckpointInfo& info, const Tokenizer& tokenizer,
                                    const Executors& executors);

// Into all replicas, between rounds. Tensors that are missing, of another type or of another shape
// are errors that name them.
Status load_checkpoint(const Checkpoint& checkpoint, const Executors& executors);

// All parameters of replica 0, between rounds, into a model that one stage and one shard hold. Runs
// on the caller's stream.
void copy_parameters(const Executors& executors, const Grid& grid, Parameters& whole,
                     Stream& stream);

Result<CheckpointInfo> read_checkpoint_info(const Checkpoint& checkpoint);

}  // namespace collie
