// From a configuration to everything a run needs, before any actor starts: model, tokenizer, data,
// layers divided into stages, schedule. Reads files, writes none.
#pragma once

#include <memory>
#include <vector>

#include "actors/schedule/schedule.hpp"
#include "actors/topology.hpp"
#include "models/dataset/dataset.hpp"
#include "models/stage.hpp"
#include "models/tokenizer/tokenizer.hpp"
#include "runtime/checkpoint_files.hpp"
#include "runtime/config.hpp"

namespace collie {

struct ModelSetup {
  ModelTraits traits;
  Schedule schedule;
  Grid grid;  // of stages and replicas, whatever rank hosts them: see hosting.hpp
  std::vector<StageSlice> stages;  // one per pipeline stage, tp_size 1
  int micro_batches = 1;           // of a step, per replica
  Recompute recompute = Recompute::none;
  std::shared_ptr<const Tuning> tuning;  // null: the whole model is trained
  int threads = 1;                       // of each rank's stream
  int scheduler_threads = 1;             // of the actor system
  int rank_count() const {
    return grid.dp / schedule.placement.directions() * schedule.ranks() * grid.tp;
  }
};

struct RunSetup {
  RunConfig config;
  ModelSetup model;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const Dataset> train_data;       // null when it only evaluates
  std::shared_ptr<const Dataset> validation_data;  // null when there is none
  BatchLayout layout;
  std::int64_t total_steps = 0;
};

// What needs no data: for planning.
Result<ModelSetup> set_up_model(const RunConfig& config);
// The checkpoint that checkpoint.resume means, if there is one; what was passed over as damaged.
// When all there are is damaged, that is an error: a run does not start anew by accident.
using ResumePoint = FoundCheckpoint;
Result<ResumePoint> find_resume_point(const RunConfig& config);

enum class RunKind { train, evaluate };
Result<RunSetup> set_up_run(const RunConfig& config, RunKind kind, const ResumePoint& resume);

// Whether the step that makes it `steps` reaches a multiple of `every` passes over the training
// data; never where every is 0.
bool passes_epochs(const RunSetup& setup, double every, std::int64_t steps);

// The slice of one shard: its stage's layers, its tensor rank.
StageSlice slice_of(const ModelSetup& model, const ShardId& shard);

}  // namespace collie
