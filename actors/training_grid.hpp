// The grid of one run and its state on disk: shards with parameters, the world that moves them,
// checkpoints and the model directory. What the trainer's loop stands on.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "actors/generation_plan.hpp"
#include "actors/plan.hpp"
#include "actors/run_setup.hpp"
#include "actors/tuning_setup.hpp"
#include "actors/world.hpp"
#include "models/generator.hpp"
#include "models/hf_model.hpp"
#include "models/loss.hpp"
#include "runtime/safetensors.hpp"

namespace collie {

class TrainingGrid {
 public:
  // Reads, divides, checks the plan, makes the shards and fills them: from the checkpoint to
  // resume, else from the model directory, else from the seed. Writes nothing.
  static Result<std::unique_ptr<TrainingGrid>> create(const RunConfig& config, RunKind kind,
                                                      const std::shared_ptr<const Loss>& loss);

  // next: see World::round; never one that has a round of curvature before it. Where this one has,
  // that is run first.
  Result<RoundOutcome> round(const RoundRequest& request,
                             const std::optional<RoundRequest>& next = std::nullopt);
  // See curvature.hpp.
  std::optional<RoundRequest> curvature_before(const RoundRequest& request) const;

  // One round without gradients over micro-batches of any data; `batches` is called on another
  // thread. number: of the round in its evaluation, for messages.
  using EvaluationBatches =
      std::function<MicroBatch(int replica, int micro_batch, Allocator& memory)>;
  Result<RoundOutcome> evaluate(std::int64_t number, EvaluationBatches batches);

  // Between rounds only. steps_done names the checkpoint; both return the path written. In another
  // directory than the run's nothing is pruned.
  Result<std::string> save_checkpoint(std::int64_t steps_done,
                                      const Json& callbacks = Json::object(),
                                      const std::string& directory = {});
  // Its parameters and optimizer state take the place of the present ones; the step does not.
  Status load_checkpoint(const std::string& path);
  const Json& callback_state() const { return callback_state_; }  // of the checkpoint resumed from
  // How to go on with prompts of at most `longest` tokens, virtual ones included; the number of
  // prompts is left to fill in. Errors: see plan_generation in generation_plan.hpp.
  Result<GenerationSettings> plan_generation(std::int64_t longest,
                                             const GenerationOptions& options) const;
  // One round that goes on with settings.prompts prompts, as they are fed, on the shards as they
  // are: no parameter is copied. The sequences are in the order of the prompts.
  Result<std::vector<GeneratedSequence>> generate(
      std::int64_t number, const GenerationSettings& settings,
      std::span<const std::vector<std::int32_t>> prompts);
  // The model's directory; of a tuned run the adapter's, and with tuning.save_merged the merged
  // model's beside it.
  Result<std::string> save_model();
  // A tuned run's: the adapter folded into the frozen weights, and these as they were before. A
  // merged grid must not run rounds: its adapters would count twice.
  Status merge_adapter();
  Status unmerge_adapter();
  std::uint64_t parameter_hash();  // of replica 0

  const RunSetup& setup() const { return setup_; }
  std::int64_t resumed_step() const { return resumed_step_; }
  const std::string& resumed_from() const { return resumed_from_; }  // empty for a new run
  const std::vector<std::string>& warnings() const { return warnings_; }
  // Of all shards; the data comes on top.
  std::size_t planned_bytes() const { return planned_bytes_; }

 private:
  TrainingGrid() = default;
  Status plan(const PlanInputs& inputs);
  Status make_executors(RunKind kind, const std::shared_ptr<const Loss>& loss);
  Status fill_parameters();
  // One shard's, from work submitted to its stream: the model, without adapters beside it.
  Status fill_base(ModelExecutor& executor) const;
  Status fill_adapter(ModelExecutor& executor) const;
  Status on_streams(const std::function<Status(ModelExecutor&)>& work);
  // What is trained; of a tuned run, made anew: its base, or that with the adapter folded in.
  enum class ModelPart { trained, base, merged };
  Result<std::string> write_model(const std::string& name, ModelPart part);
  Result<std::string> save_tuned();
  // One shard's part of a parameter of the base, f32; from work submitted to its stream.
  Tensor base_value(ModelExecutor& executor, int index) const;
  void add_whole(ModelAssembler& assembler, ModelExecutor& executor, bool merged);
  Status resume(const Checkpoint& checkpoint);
  void warn_about_changes(const Checkpoint& checkpoint);
  void warn_about_cuts();
  void make_world();
  std::size_t replica_shards() const;

  RunSetup setup_;
  std::optional<TensorDirectory> base_files_;  // of the model directory; none for a fresh model
  std::optional<TunedBase> base_;              // what the adapter stands beside; none without one
  std::vector<std::unique_ptr<ModelExecutor>> owned_;
  Executors executors_;
  Allocator batch_memory_{"feeder"};
  std::unique_ptr<World> world_;  // after the executors, which must outlive it
  double gradient_scale_ = 1.0;   // of the last step
  std::int64_t resumed_step_ = 0;
  std::string resumed_from_;
  std::vector<std::string> warnings_;
  std::size_t planned_bytes_ = 0;
  Json callback_state_ = Json::object();
  EvaluationBatches evaluation_batches_;  // of the round under way
};

}  // namespace collie
