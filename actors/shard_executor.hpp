// Performs a shard's works on its rank's stream: the bridge from the protocol to the model. Owns
// the stage's parameters, the optimizer and the micro-batches under way.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "actors/protocol/rank_core.hpp"
#include "models/delay_correction.hpp"
#include "models/optimizer.hpp"
#include "models/stage.hpp"

namespace collie {

struct ModelExecutorOptions {
  Grid grid;
  ShardId self;
  StageSlice slice;
  StageOptions stage;
  StreamOptions stream;
  // Of the rank, where it hosts several shards; null: a stream of the shard's own, from `stream`.
  std::shared_ptr<Stream> shared_stream;
  bool reports_memory = true;  // false for all shards of a stream but the first
  OptimizerOptions optimizer;
  DelayCorrectionOptions delay;
  bool trains = true;        // false: no gradients, no optimizer
  int zero = 0;              // train.zero: see Sharding
  bool zero_copies = false;  // level 3: see ValueLayout
  int zero_prefetch = 1;
  std::uint64_t seed = 0;  // of stochastic rounding
};

class ModelExecutor {
 public:
  static Result<std::unique_ptr<ModelExecutor>> create(const ModelTraits& traits,
                                                       ModelExecutorOptions options);
  ~ModelExecutor();

  // done is called once, when the work has finished or paused; on the stream's thread, so it should
  // only post a message.
  void execute(Work work, std::function<void(Completion)> done);

  // Between rounds only, when nothing is on the stream.
  Stream& stream();
  Parameters& parameters();
  Optimizer* optimizer();  // null when it does not train
  // Of the optimizer and of the correction for delay; what a checkpoint holds beside the
  // parameters.
  std::vector<OptimizerState> training_state();
  // Of a resumed run that clips by the norm of the step before: what that step was scaled by.
  void resume_clipping(double scale);
  // Of the parameters this shard owns; blocks. Added up over a replica's shards it does not depend
  // on how the layers are divided into stages.
  std::uint64_t parameter_hash();

  // What this shard takes part in at the end of a step, in order.
  std::vector<Exchange> exchanges() const;
  // With ZeRO-3: what its segments read of the replicas' shares; views of the parameters.
  ValueLayout value_layout() const;
  // Whether forwards or backwards may stop at a reduction, so that one is issued at a time. An
  // update always may: nothing else of its shard is issued beside it.
  bool pauses_in_program() const;

 private:
  struct Impl;
  explicit ModelExecutor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace collie
