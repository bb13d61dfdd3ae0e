// A tiny model on any grid, for tests that compare whole runs: real kernels, real protocol, data
// that is a function of (step, row).
#pragma once

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/curvature.hpp"
#include "actors/delay_options.hpp"
#include "actors/run_setup.hpp"
#include "actors/schedule/generators.hpp"
#include "actors/world.hpp"
#include "models/partition.hpp"
#include "models/peft/tuning.hpp"
#include "models/registry.hpp"
#include "runtime/file.hpp"

namespace collie::testing {

inline constexpr std::int64_t tiny_sequence = 8;

struct TinyRun {
  Grid grid;  // pp counts ranks
  std::string schedule = "1f1b";
  std::optional<Schedule> given = {};  // instead of one by name
  Policy policy = {};
  int chunks = 0;         // of a rank, where the schedule takes a number
  int warm_up_steps = 0;  // synchronous updates, where the schedule takes a number
  int group = 0;          // micro-batches of an update, where the schedule takes a number
  int micro_batches = 4;  // per replica
  int slices = 1;         // of a micro-batch along the sequence
  std::int64_t rows = 1;  // of a micro-batch
  std::string family = "llama";
  int layers = 4;
  bool tied = false;
  DType dtype = DType::f32;
  std::string optimizer = "adamw";
  bool inline_streams = true;
  int threads = 1;  // of each stream
  int credit = 0;   // of each link; 0: the schedule's
  int depth = 2;
  Recompute recompute = Recompute::none;
  double clip_norm = 0.5;
  bool post_validates = false;
  UpdateInBackward in_backward = UpdateInBackward::no;
  bool master_weights = true;
  Rounding rounding = Rounding::nearest;
  int zero = 0;              // see Sharding
  bool zero_copies = false;  // see ValueLayout
  int zero_prefetch = 1;
  std::shared_ptr<const Loss> loss = {};      // instead of cross entropy
  std::shared_ptr<const Tuning> tuning = {};  // null: all parameters are trained
  double dropout = 0.0;                       // of the model, in training
  // Of sophia: rho is such that curvature tells in a few steps of a tiny model.
  double rho = 100.0;
  int hessian_interval = 3;
  double hessian_share = 1.0;
};

inline Json tiny_config(const TinyRun& run) {
  if (run.family == "gpt2") {
    return Json{{"model_type", "gpt2"},  {"vocab_size", 37}, {"n_embd", 16},
                {"n_layer", run.layers}, {"n_head", 4},      {"n_positions", 16}};
  }
  Json config{{"model_type", run.family},
              {"vocab_size", 37},
              {"hidden_size", 16},
              {"intermediate_size", 24},
              {"num_hidden_layers", run.layers},
              {"num_attention_heads", 4},
              {"num_key_value_heads", 2},
              {"max_position_embeddings", 16},
              {"rms_norm_eps", 1e-5},
              {"tie_word_embeddings", run.tied}};
  if (run.family == "qwen3") config["head_dim"] = 8;
  return config;
}

inline MicroBatch tiny_batch(Allocator& memory, std::int64_t step, int row, std::int64_t rows) {
  MicroBatch batch;
  batch.rows = rows;
  batch.sequence = tiny_sequence;
  batch.first_row = step * 1000 + row;
  const std::int64_t tokens = rows * tiny_sequence;
  batch.ids_t = allocate_tensor(memory, DType::i32, {tokens});
  batch.labels_t = allocate_tensor(memory, DType::i32, {tokens});
  batch.positions_t = allocate_tensor(memory, DType::i32, {tokens});
  std::uint64_t state = static_cast<std::uint64_t>(step * 1000 + row) * 0x9e3779b97f4a7c15U + 1;
  for (std::int64_t t = 0; t < tokens; ++t) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    const auto id = static_cast<std::int32_t>((state >> 33) % 37);
    batch.ids_t.mutable_data<std::int32_t>()[t] = id;
    const bool ignored = (row + t) % 5 == 0;
    batch.labels_t.mutable_data<std::int32_t>()[t] = ignored ? ignored_label : (id * 7 + 3) % 37;
    batch.positions_t.mutable_data<std::int32_t>()[t] =
        static_cast<std::int32_t>(t % tiny_sequence % 6);
    batch.valid_tokens += ignored ? 0 : 1;
  }
  return batch;
}

// The first tokens of each document of the batch become those of a tuning method.
inline MicroBatch with_virtual_tokens(MicroBatch batch, std::int64_t count) {
  for (std::int64_t t = 0; t < batch.ids_t.element_count(); ++t) {
    if (batch.positions_t.data<std::int32_t>()[t] >= count) continue;
    std::int32_t& label = batch.labels_t.mutable_data<std::int32_t>()[t];
    batch.ids_t.mutable_data<std::int32_t>()[t] = virtual_token_id;
    batch.valid_tokens -= label == ignored_label ? 0 : 1;
    label = ignored_label;
  }
  return batch;
}

// Executors and what it takes to make a world of them.
class TinyGrid {
 public:
  explicit TinyGrid(TinyRun run) : run_(std::move(run)), memory_("tiny data") {
    Result<ModelTraits> traits = parse_model_config(tiny_config(run_), "tiny");
    COLLIE_CHECK(traits.ok(), "{}", traits.error().message);
    traits_ = std::move(traits).value();
    make_schedule_and_grid();
    Result<std::vector<StageSlice>> stages = partition_model(traits_, grid_.pp, tiny_sequence);
    COLLIE_CHECK(stages.ok(), "{}", stages.error().message);
    RankStreams streams(grid_, schedule_);
    for (int i = 0; i < grid_.shard_count(); ++i) make_executor(i, stages.value(), streams);
  }

  WorldOptions options() {
    WorldOptions options;
    options.grid = grid_;
    options.schedule = schedule_;
    options.depth = run_.depth;
    options.post_validates = run_.post_validates;
    options.batches = [this](Mode, std::int64_t step, int replica, int micro_batch) {
      return with_virtual_tokens(
          tiny_batch(memory_, step, replica * micro_batches() + micro_batch, run_.rows),
          run_.tuning ? run_.tuning->tokens_before() : 0);
    };
    return options;
  }
  Executors executors() const {
    Executors borrowed;
    for (const auto& executor : executors_) borrowed.push_back(executor.get());
    return borrowed;
  }
  const TinyRun& run() const { return run_; }
  const Schedule& schedule() const { return schedule_; }
  const ModelTraits& traits() const { return traits_; }
  const Grid& grid() const { return grid_; }  // of stages and replicas: see hosting.hpp
  // The round that estimates curvature before this one, if there is one.
  std::optional<RoundRequest> curvature_before(const RoundRequest& request) const {
    OptimizerOptions options;
    options.hessian_share = run_.hessian_share;
    const Optimizer* optimizer = executors_.front()->optimizer();
    return optimizer == nullptr ? std::nullopt : curvature_round(request, *optimizer, options, 23);
  }
  // Of one replica of it: a bidirectional schedule makes two of a run's.
  int micro_batches() const { return run_.micro_batches / schedule_.placement.directions(); }

 private:
  void make_schedule_and_grid() {
    Result<Schedule> schedule = make_schedule(run_.schedule, {.ranks = run_.grid.pp,
                                                              .micro_batches = run_.micro_batches,
                                                              .chunks = run_.chunks,
                                                              .group = run_.group,
                                                              .slices = run_.slices,
                                                              .warm_up_steps = run_.warm_up_steps});
    COLLIE_CHECK(schedule.ok(), "{}", schedule.error().message);
    schedule_ = run_.given ? *run_.given : std::move(schedule).value();
    if (run_.policy.decides()) schedule_.policy = run_.policy;
    if (run_.credit > 0) schedule_.channel.credit = run_.credit;
    grid_ = grid_of(schedule_, run_.grid.dp, run_.grid.tp);
  }
  void make_executor(int index, const std::vector<StageSlice>& stages, RankStreams& streams) {
    ModelExecutorOptions options;
    options.grid = grid_;
    options.self = shard_at(grid_, index);
    options.slice = stages[static_cast<std::size_t>(options.self.stage)];
    options.slice.tp_rank = options.self.tensor;
    options.slice.tp_size = grid_.tp;
    options.stage.compute_dtype = run_.dtype;
    options.stage.recompute = run_.recompute;
    options.stage.loss = run_.loss;
    options.stage.update_in_backward = run_.in_backward;
    options.stage.master_weights = run_.master_weights;
    options.stage.tuning = run_.tuning;
    options.stage.dropout = run_.dropout;
    options.stage.dropout_seed = 11;
    options.stream.inline_execution = run_.inline_streams;
    options.stream.threads = run_.threads;
    options.optimizer.name = run_.optimizer;
    options.optimizer.weight_decay = 0.1;
    options.optimizer.rounding = run_.rounding;
    options.optimizer.rho = run_.rho;
    options.optimizer.hessian_interval = run_.hessian_interval;
    options.seed = 11;
    options.delay = delay_options(schedule_, options.self.stage);
    options.zero = run_.zero;
    options.zero_copies = run_.zero_copies;
    options.zero_prefetch = run_.zero_prefetch;
    streams.assign(index, options);
    auto made = ModelExecutor::create(traits_, std::move(options));
    COLLIE_CHECK(made.ok(), "{}", made.error().message);
    ModelExecutor* executor = made.value().get();
    executors_.push_back(std::move(made).value());
    executor->stream().submit(
        [executor] { executor->parameters().initialize(executor->stream(), 7); });
    executor->stream().synchronize();
  }

  TinyRun run_;
  ModelTraits traits_;
  Schedule schedule_;
  Grid grid_;
  Allocator memory_;
  std::vector<std::unique_ptr<ModelExecutor>> executors_;
};

struct TinyOutcome {
  std::vector<double> losses;
  std::vector<double> norms;
  std::uint64_t hash = 0;
  int rollbacks = 0;
  int overlaps = 0;  // steps that one rank began before another had ended the step before
};

inline RoundRequest tiny_request(const TinyGrid& grid, int step) {
  RoundRequest request;
  request.step = step;
  request.micro_batches = grid.micro_batches();
  request.learning_rate = 1e-2;
  request.clip_norm = grid.run().clip_norm;
  request.want_hash = true;
  request.want_trace = true;
  return request;
}

inline bool begins_before_end_of(const Trace& before, const Trace& trace) {
  double begin_s = std::numeric_limits<double>::infinity(), end_s = 0.0;
  for (const auto& rank : trace) begin_s = std::min(begin_s, rank.front().begin_s);
  for (const auto& rank : before) end_s = std::max(end_s, rank.back().end_s);
  return begin_s < end_s;
}

// Every step's trace must follow the schedule.
inline TinyOutcome train(World& world, const TinyGrid& grid, int steps) {
  TinyOutcome outcome;
  Trace before;
  for (int step = 0; step < steps; ++step) {
    const RoundRequest request = tiny_request(grid, step);
    if (const auto estimate = grid.curvature_before(request)) {
      const Result<RoundOutcome> done = world.round(*estimate);
      COLLIE_CHECK(done.ok(), "{}", done.error().message);
    }
    std::optional<RoundRequest> next;
    if (step + 1 < steps) next = tiny_request(grid, step + 1);
    if (next && grid.curvature_before(*next)) next.reset();
    Result<RoundOutcome> round = world.round(request, next);
    COLLIE_CHECK(round.ok(), "{}", round.error().message);
    const Trace trace = rank_traces(grid.grid(), grid.schedule(), round->trace);
    const Status followed = check_conformance(grid.schedule(), trace);
    COLLIE_CHECK(followed.ok(), "{}", followed.error().message);
    if (step > 0) outcome.overlaps += begins_before_end_of(before, trace) ? 1 : 0;
    before = trace;
    outcome.rollbacks += round->rollbacks;
    outcome.losses.push_back(round->loss);
    outcome.norms.push_back(round->gradient_norm);
    outcome.hash = round->parameter_hash;
  }
  return outcome;
}

inline TinyOutcome simulate(const TinyRun& run, std::uint64_t seed, int steps) {
  TinyGrid grid(run);
  auto world = make_simulated_world(grid.options(), grid.executors(), {.seed = seed});
  return train(*world, grid, steps);
}

}  // namespace collie::testing
