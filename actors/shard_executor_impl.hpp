// What the files of shard_executor share.
#pragma once

#include <map>

#include "actors/generation_turns.hpp"
#include "actors/shard_executor.hpp"
#include "actors/step_copy.hpp"
#include "actors/turn_updates.hpp"
#include "actors/weight_versions.hpp"

namespace collie {

struct ModelExecutor::Impl {
  ModelExecutorOptions options;
  std::shared_ptr<Stream> stream;
  std::unique_ptr<Stream> copies;  // where values are copied: beside the works
  std::unique_ptr<StageModel> model;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<DelayCorrection> correction;
  std::unique_ptr<TurnUpdates> turns;  // null: the optimizer updates at the end of the step
  std::map<std::uint32_t, MicroBatchState> states;  // by unit, reused from step to step
  std::vector<double> losses;                       // of this round, by micro-batch
  std::vector<std::vector<double>> row_losses;      // of an evaluation, likewise
  Steps steps;                                      // of the work under way
  WorkKind steps_kind = WorkKind::forward;
  Apply applied;  // by the update under way
  bool gradients_finished = false;
  bool tied_embeddings = false;
  WeightVersions versions;
  GenerationTurns generation;
  StepCopy step_copy;  // of an update that is not validated yet

  Status update_in_turn(const ModelExecutorOptions& of);
  Completion run_timed(const Work& work);
  Completion run(const Work& work);
  Completion copy_values(const Work& work);
  void read_weights(const Work& work);
  void start(const Work& work, Completion& completion);
  Steps backward_steps(const Work& work, MicroBatchState& state);
  void make_weights(const Work& work, Completion& completion);
  void advance(const Work& work, Completion& completion);
  void finish(const Work& work, Completion& completion);
  void finish_turn(const Work& work, Completion& completion);
  void perform_reduction(const Work& work);
  void report(const Work& work, Completion& completion);
  void optimize(const Work& work, Completion& completion);
  void update(const Work& work, Completion& completion);
  void renew_curvature(Completion& completion);
  void measure_step(const Apply& apply, Completion& completion);
  void finish_gradients_once();
  void forget_gradients(const Work& work);
};

inline DelayPoint delay_point(const Work& work) {
  return {.updates_done = work.apply.optimizer_step,
          .micro_batch = static_cast<int>(work.stamp.micro_batch),
          .learning_rate = work.apply.learning_rate};
}

}  // namespace collie
