// The grid of one run and its state on disk: shards with parameters, the world that moves them,
// checkpoints and the model directory. What the trainer's loop stands on.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "actors/plan.hpp"
#include "actors/run_setup.hpp"
#include "actors/world.hpp"
#include "models/loss.hpp"

namespace collie {

class TrainingGrid {
 public:
  // Reads, divides, checks the plan, makes the shards and fills them: from the checkpoint to
  // resume, else from the model directory, else from the seed. Writes nothing.
  static Result<std::unique_ptr<TrainingGrid>> create(const RunConfig& config, RunKind kind,
                                                      const std::shared_ptr<const Loss>& loss);

  Result<RoundOutcome> round(const RoundRequest& request) { return world_->round(request); }

  // Between rounds only. steps_done names the checkpoint; both return the path written.
  Result<std::string> save_checkpoint(std::int64_t steps_done);
  Result<std::string> save_model();
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
  Status resume(const Checkpoint& checkpoint);
  void warn_about_changes(const Checkpoint& checkpoint);
  void make_world();
  std::size_t replica_shards() const;

  RunSetup setup_;
  std::vector<std::unique_ptr<ModelExecutor>> owned_;
  Executors executors_;
  Allocator batch_memory_{"feeder"};
  std::unique_ptr<World> world_;  // after the executors, which must outlive it
  std::int64_t resumed_step_ = 0;
  std::string resumed_from_;
  std::vector<std::string> warnings_;
  std::size_t planned_bytes_ = 0;
};

}  // namespace collie
