// What a run will take, before it starts: the same protocol and the same model code, run on the
// meta device, where tensors have sizes but no memory and kernels do nothing.
#pragma once

#include <vector>

#include "actors/run_setup.hpp"
#include "runtime/host_memory.hpp"

namespace collie {

struct ShardPlan {
  ShardId shard;  // of replica 0; the others take the same, or with ZeRO not more
  std::int64_t layer_begin = 0, layer_end = 0;
  std::int64_t parameter_count = 0;  // held here, replicated ones included
  std::size_t parameter_bytes = 0;   // values, gradients, optimizer state, compute copy
  std::size_t training_bytes = 0;    // of these, gradients and optimizer state
  std::size_t peak_bytes = 0;        // all of it: parameters, activations, buffers
  int micro_batches_in_flight = 0;
};

struct Plan {
  std::int64_t parameter_count = 0;  // of the model, without adapters
  std::int64_t trained_count = 0;    // parameters that are trained, adapters' or all
  std::vector<ShardPlan> shards;     // of one replica
  std::size_t total_bytes = 0;       // all shards of all replicas
  std::size_t data_bytes = 0;        // tokenised data, as PlanInputs says
  std::size_t copy_bytes = 0;        // parameters that samples and evaluators write texts with
  // limits.memory_bytes; else what the machine has free and its control groups allow.
  HostMemory available;
  RunKind kind = RunKind::train;
  std::int64_t tokens_per_step = 0;
  double flops_per_step = 0.0;   // model FLOPs of all replicas
  double bubble_fraction = 0.0;  // of the pipeline's time
  double step_seconds = 0.0;     // predicted: see planned_efficiency
};

// Share of the arithmetic peak that a step is planned with.
inline constexpr double planned_efficiency = 0.75;

// What a configuration alone does not tell.
struct PlanInputs {
  RunKind kind = RunKind::train;
  bool custom_loss = false;    // it gets float32 logits of its own when the model is bfloat16
  std::size_t data_bytes = 0;  // of the tokenised data, which has been read already
  std::int64_t loss_rows = 0;  // of a custom loss: Loss::rows_together
};

Result<Plan> make_plan(const RunConfig& config);
Result<Plan> make_plan(const RunConfig& config, const ModelSetup& model,
                       const PlanInputs& inputs = {});

// out_of_memory when the plan needs more than there is; says what to change.
Status check_plan(const Plan& plan);

}  // namespace collie
