#include "actors/plan.hpp"
#include "actors/curvature.hpp"
#include "actors/delay_options.hpp"

#include <algorithm>
#include <map>

#include "actors/progress_format.hpp"
#include "actors/schedule/simulate.hpp"
#include "actors/turn_updates.hpp"
#include "actors/world.hpp"
#include "kernels/peak.hpp"
#include "models/flops.hpp"
#include "models/peft/tuning.hpp"
#include "runtime/thread_pool.hpp"

namespace collie {

namespace {

// What a lane of a stream's kernels work in, which no tensor is: blocks of attention and of matrix
// products, about the same for all models. The meta device has none.
constexpr std::size_t lane_scratch_bytes = std::size_t{256} << 10;

// Stands for a loss of the user's, which must not touch the meta device's addresses.
class NoLoss final : public Loss {
 public:
  explicit NoLoss(std::int64_t rows) : rows_(rows) {}
  std::int64_t rows_together() const override { return rows_; }
  void forward_backward(Stream&, Tensor&, const Tensor&, float, Tensor&) const override {}

 private:
  std::int64_t rows_;
};

Result<std::unique_ptr<ModelExecutor>> make_meta_executor(const RunConfig& config,
                                                          const ModelSetup& model,
                                                          const PlanInputs& inputs,
                                                          const Grid& replica, int index,
                                                          RankStreams& streams) {
  ModelExecutorOptions options;
  options.grid = replica;
  options.self = shard_at(replica, index);
  options.slice = slice_of(model, options.self);
  options.stage.compute_dtype = config.model.dtype;
  options.stage.recompute = model.recompute;
  options.stage.master_weights = keeps_master_weights(config, model);
  COLLIE_TRY(options.stage.update_in_backward, choose_update_in_backward(config, model));
  options.stage.tuning = model.tuning;
  options.stage.dropout = config.model.dropout;
  options.stream.device = {DeviceKind::meta, 0};
  options.stream.inline_execution = true;
  options.optimizer = config.train.optimizer;
  options.delay = delay_options(model.schedule, options.self.stage);
  options.zero = static_cast<int>(config.train.zero);
  options.zero_copies = config.train.zero_copies;
  options.zero_prefetch = static_cast<int>(config.train.zero_prefetch);
  options.trains = inputs.kind == RunKind::train;
  streams.assign(index, options);
  if (inputs.custom_loss) options.stage.loss = std::make_shared<const NoLoss>(inputs.loss_rows);
  return ModelExecutor::create(model.traits, std::move(options));
}

// Then the whole model is copied beside the grid, from time to time.
bool writes_texts(const RunConfig& config) {
  return !config.callbacks.samples.prompts.empty() ||
         std::ranges::any_of(config.eval.evaluators, [](const Json& entry) {
           return entry.value("type", Json()) == "generation" ||
                  entry.value("style", Json()) == "helm";
         });
}

MicroBatch empty_batch(const RunConfig& config, Allocator& memory) {
  MicroBatch batch;
  batch.rows = config.train.micro_batch_size;
  batch.sequence = config.data.sequence_length;
  const Shape shape{batch.rows * batch.sequence};
  batch.ids_t = allocate_tensor(memory, DType::i32, shape);
  batch.labels_t = allocate_tensor(memory, DType::i32, shape);
  batch.positions_t = allocate_tensor(memory, DType::i32, shape);
  batch.valid_tokens = batch.rows * batch.sequence;
  return batch;
}

// Two rounds: the second one holds what the first leaves behind.
Status run_protocol(const RunConfig& config, const ModelSetup& model, RunKind kind,
                    const Grid& replica, const Executors& executors) {
  Allocator memory("plan", 0, false);
  WorldOptions options;
  options.grid = replica;
  options.schedule = model.schedule;
  options.depth = 2;
  options.post_validates = config.train.post_validation;
  options.batches = [&](Mode, std::int64_t, int, int) { return empty_batch(config, memory); };
  const auto world = make_simulated_world(std::move(options), executors, {});
  RoundRequest request;
  request.mode = kind == RunKind::train ? Mode::train : Mode::evaluate;
  request.micro_batches = model.micro_batches;
  if (const Optimizer* optimizer = executors.front()->optimizer()) {
    const auto estimate = curvature_round(request, *optimizer, config.train.optimizer, 0);
    if (estimate) COLLIE_TRY_VOID(world->round(*estimate));
  }
  RoundRequest second = request;
  second.step = 1;
  COLLIE_TRY_VOID(world->round(request, second));
  COLLIE_TRY_VOID(world->round(second));
  return ok_status();
}

ShardPlan plan_shard(const ModelSetup& model, const ShardId& shard, ModelExecutor& executor,
                     std::size_t parameter_bytes) {
  ShardPlan plan;
  plan.shard = shard;
  const StageSlice slice = slice_of(model, shard);
  plan.layer_begin = slice.layer_begin;
  plan.layer_end = slice.layer_end;
  for (const ParameterSpec& spec : executor.parameters().specs()) {
    if (spec.tied_to.empty()) plan.parameter_count += spec.local_count();
  }
  plan.parameter_bytes = parameter_bytes;
  if (executor.optimizer() != nullptr) {
    plan.training_bytes = executor.parameters().gradients().size_bytes();
    for (const OptimizerState& state : executor.training_state()) {
      plan.training_bytes += state.values->size_bytes();
    }
  }
  plan.peak_bytes = executor.stream().allocator().use().peak_bytes +
                    static_cast<std::size_t>(model.threads) * lane_scratch_bytes;
  const Placement& placement = model.schedule.placement;
  const int units = peak_in_flight(
      model.schedule, placement.rank_of(shard.stage, shard.replica % placement.directions()));
  const int slices = model.schedule.slices;
  plan.micro_batches_in_flight = (units + slices - 1) / slices;
  return plan;
}

std::int64_t trained_count(const ModelSetup& model) {
  if (!model.tuning) return parameter_count(model.traits);
  std::int64_t count = 0;
  for (const ParameterSpec& spec : tuned_parameters(*model.tuning, model.traits)) {
    count += spec.rows * spec.cols;
  }
  return count;
}

Status plan_time(const RunConfig& config, const ModelSetup& model, Plan& plan) {
  const std::int64_t sequence = config.data.sequence_length;
  const std::int64_t tokens = config.train.micro_batch_size * sequence;
  plan.tokens_per_step = tokens * config.train.accumulation * config.grid.dp;
  plan.flops_per_step = static_cast<double>(plan.tokens_per_step) *
                        training_flops_per_token(model.traits, sequence, model.tuning.get());
  const int cores = usable_core_count();
  const double lanes_wanted = static_cast<double>(model.rank_count() * model.threads);
  const double lanes = model.threads * std::min(1.0, cores / lanes_wanted);
  const double rate = kernels::measure_peak_flops(config.model.dtype) * lanes * planned_efficiency;
  CostModel costs;
  double busy = 0.0;
  for (const StageSlice& slice : model.stages) {
    const PassFlops flops = pass_flops_per_token(model.traits, slice, sequence, model.tuning.get());
    const double scale = static_cast<double>(tokens) / model.grid.tp / rate;
    costs.stages.push_back({.forward = flops.forward * scale,
                            .input = flops.input * scale,
                            .weight = flops.weight * scale});
    busy += (flops.forward + flops.input + flops.weight) * scale *
            static_cast<double>(config.train.accumulation);
  }
  COLLIE_TRY(const Simulation simulation, simulate(model.schedule, costs, {.with_memory = false}));
  plan.step_seconds = simulation.makespan;
  plan.bubble_fraction = 1.0 - busy / (plan.step_seconds * model.schedule.ranks());
  return ok_status();
}

HostMemory available_memory(const RunConfig& config, std::size_t held_bytes) {
  if (config.limits.memory_bytes == 0) return available_host_memory(held_bytes);
  return {static_cast<std::size_t>(config.limits.memory_bytes), "allowed by limits.memory_bytes"};
}

}  // namespace

Result<Plan> make_plan(const RunConfig& config) {
  COLLIE_TRY(const ModelSetup model, set_up_model(config));
  return make_plan(config, model);
}

Result<Plan> make_plan(const RunConfig& config, const ModelSetup& model, const PlanInputs& inputs) {
  if (inputs.kind == RunKind::train) {
    COLLIE_TRY_VOID(check_curvature_rounds(config, model, inputs.custom_loss));
  }
  // One pipeline: the replicas that its placement has.
  const Grid pipeline = grid_of(model.schedule, 1, model.grid.tp);
  // With ZeRO what a replica holds depends on the others.
  const bool is_shared = config.train.zero > 0 && inputs.kind == RunKind::train;
  const Grid replica = is_shared ? model.grid : pipeline;
  RankStreams streams(replica, model.schedule);
  std::vector<std::unique_ptr<ModelExecutor>> owned;
  Executors executors;
  std::vector<std::size_t> parameter_bytes;
  std::map<const Stream*, std::size_t> live_before;  // shards of one rank share a stream
  for (int i = 0; i < replica.shard_count(); ++i) {
    COLLIE_TRY(auto executor, make_meta_executor(config, model, inputs, replica, i, streams));
    const std::size_t live = executor->stream().allocator().use().live_bytes;
    std::size_t& before = live_before[&executor->stream()];
    parameter_bytes.push_back(live - before);
    before = live;
    executors.push_back(executor.get());
    owned.push_back(std::move(executor));
  }
  COLLIE_TRY_VOID(run_protocol(config, model, inputs.kind, replica, executors));
  Plan plan;
  plan.kind = inputs.kind;
  plan.data_bytes = inputs.data_bytes;
  plan.available = available_memory(config, inputs.data_bytes);
  plan.parameter_count = parameter_count(model.traits);
  if (writes_texts(config)) {
    const std::size_t bytes = config.model.dtype == DType::bf16 ? 2 : 4;
    plan.copy_bytes = static_cast<std::size_t>(plan.parameter_count) * bytes;
  }
  plan.trained_count = trained_count(model);
  const auto first = static_cast<std::size_t>(pipeline.shard_count());
  for (std::size_t i = 0; i < executors.size(); ++i) {
    ShardPlan shard = plan_shard(model, shard_at(replica, static_cast<int>(i)), *executors[i],
                                 parameter_bytes[i]);
    if (live_before.erase(&executors[i]->stream()) == 0) shard.peak_bytes = 0;
    plan.total_bytes += shard.peak_bytes * static_cast<std::size_t>(model.grid.dp / replica.dp);
    if (i < first) {
      plan.shards.push_back(shard);
    } else if (shard.peak_bytes > plan.shards[i % first].peak_bytes) {
      shard.shard = plan.shards[i % first].shard;
      plan.shards[i % first] = shard;
    }
  }
  COLLIE_TRY_VOID(plan_time(config, model, plan));
  return plan;
}

Status check_plan(const Plan& plan) {
  const std::size_t needed = plan.total_bytes + plan.data_bytes + plan.copy_bytes;
  if (needed <= plan.available.bytes) return ok_status();
  std::string data =
      plan.data_bytes > 0 ? fmt::format(" ({} of it data)", format_bytes(plan.data_bytes)) : "";
  if (plan.copy_bytes > 0) {
    data += fmt::format(" ({} of it the parameters that texts are written with)",
                        format_bytes(plan.copy_bytes));
  }
  return make_error(ErrorCode::out_of_memory,
                    "the run needs {}{} and {} are {}; lower train.micro_batch_size or "
                    "data.sequence_length, {}use a smaller model, or raise limits.memory_bytes",
                    format_bytes(needed), data, format_bytes(plan.available.bytes),
                    plan.available.source,
                    plan.kind == RunKind::train ? "set train.recompute to full, " : "");
}

}  // namespace collie
