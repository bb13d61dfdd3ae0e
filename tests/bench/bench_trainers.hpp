// One training step two ways: as actors, and as a plain loop over the same kernels.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <vector>

#include "actors/schedule/generators.hpp"
#include "actors/world.hpp"
#include "kernels/elementwise.hpp"
#include "models/partition.hpp"
#include "models/peft/tuning.hpp"
#include "runtime/check.hpp"
#include "tests/bench/bench_models.hpp"

namespace collie::bench {

struct TrainOptions {
  BenchModel model;
  DType dtype = DType::f32;
  int threads = 1;  // of each stage's stream
  int stages = 1;
  int micro_batches = 1;                 // of a step
  std::shared_ptr<const Tuning> tuning;  // null: the whole model is trained
};

inline constexpr double learning_rate = 3e-4;
inline constexpr double clip_norm = 1.0;
inline constexpr std::uint64_t parameter_seed = 7;

inline OptimizerOptions adamw_options() {
  OptimizerOptions options;
  options.beta2 = 0.95;
  options.weight_decay = 0.1;
  return options;
}

inline double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <class T>
T require(Result<T> result) {
  COLLIE_CHECK(result.ok(), "{}", result.error().message);
  return std::move(result).value();
}

inline std::vector<MicroBatch> micro_batches_of(Allocator& memory, const TrainOptions& options) {
  std::vector<MicroBatch> batches;
  const std::int64_t rows = options.model.rows / options.micro_batches;
  for (int mb = 0; mb < options.micro_batches; ++mb) {
    batches.push_back(random_batch(memory, options.model, rows, static_cast<std::uint32_t>(mb)));
    batches.back().loss_scale = 1.0F / static_cast<float>(options.model.tokens());
  }
  return batches;
}

// The grid of stages as actors, in this process.
class ActorTrainer {
 public:
  explicit ActorTrainer(const TrainOptions& options)
      : options_(options), memory_("bench data"), batches_(micro_batches_of(memory_, options)) {
    WorldOptions world;
    world.grid.pp = options.stages;
    world.schedule = require(
        make_schedule("1f1b", {.ranks = options.stages, .micro_batches = options.micro_batches}));
    world.depth = 2;
    world.batches = [this](Mode, std::int64_t, int, int micro_batch) {
      return batches_[static_cast<std::size_t>(micro_batch)];
    };
    const auto slices =
        require(partition_model(options.model.traits, options.stages, options.model.sequence));
    for (int stage = 0; stage < options.stages; ++stage) {
      add_executor(world.grid, stage, slices[static_cast<std::size_t>(stage)]);
    }
    Executors borrowed;
    for (const auto& executor : executors_) borrowed.push_back(executor.get());
    world_ = make_local_world(std::move(world), borrowed, 1);
  }

  // Mean loss before the update.
  double step() {
    RoundRequest request;
    request.step = steps_++;
    request.micro_batches = options_.micro_batches;
    request.learning_rate = learning_rate;
    request.clip_norm = clip_norm;
    return require(world_->round(request)).loss;
  }
  // The same batches without gradients.
  double evaluate() {
    RoundRequest request;
    request.mode = Mode::evaluate;
    request.micro_batches = options_.micro_batches;
    return require(world_->round(request)).loss;
  }
  Stream& stream(int stage = 0) { return executors_[static_cast<std::size_t>(stage)]->stream(); }
  std::size_t pool_peak_bytes() const {
    std::size_t sum = 0;
    for (const auto& executor : executors_) sum += executor->stream().allocator().use().peak_bytes;
    return sum;
  }

 private:
  void add_executor(const Grid& grid, int stage, const StageSlice& slice) {
    ModelExecutorOptions options;
    options.grid = grid;
    options.self.stage = stage;
    options.slice = slice;
    options.stage.compute_dtype = options_.dtype;
    options.stage.tuning = options_.tuning;
    options.stream.threads = options_.threads;
    options.optimizer = adamw_options();
    executors_.push_back(require(ModelExecutor::create(options_.model.traits, std::move(options))));
    ModelExecutor& made = *executors_.back();
    made.stream().submit([&made] { made.parameters().initialize(made.stream(), parameter_seed); });
    made.stream().synchronize();
  }

  TrainOptions options_;
  Allocator memory_;
  std::vector<MicroBatch> batches_;
  std::vector<std::unique_ptr<ModelExecutor>> executors_;
  std::unique_ptr<World> world_;
  std::int64_t steps_ = 0;
};

struct StageSeconds {
  double forward = 0.0;   // of one micro-batch
  double backward = 0.0;  // of one micro-batch
  double finish = 0.0;    // of the step: norm and update
};

// The same stages one after the other on one stream that somebody else owns. With more than one
// stage it exists to measure what each costs: it leaves out the sum of tied gradients.
class LoopTrainer {
 public:
  LoopTrainer(const TrainOptions& options, Stream& stream)
      : stream_(stream), memory_("bench data"), batches_(micro_batches_of(memory_, options)) {
    const auto slices =
        require(partition_model(options.model.traits, options.stages, options.model.sequence));
    StageOptions stage;
    stage.compute_dtype = options.dtype;
    stage.tuning = options.tuning;
    states_.resize(slices.size());
    seconds_.resize(slices.size());
    for (const StageSlice& slice : slices) {
      models_.push_back(require(StageModel::create(options.model.traits, slice, stage, stream)));
      Parameters& parameters = models_.back()->parameters();
      optimizers_.push_back(
          require(make_optimizer(adamw_options(), parameters, stream.allocator())));
      stream.submit([&] { parameters.initialize(stream, parameter_seed); });
      stream.synchronize();
    }
  }

  // Mean loss before the update.
  double step() {
    double loss = 0.0;
    stream_.submit([&] { loss = run_step(); });
    stream_.synchronize();
    return loss;
  }
  // The forward half of a step alone, with all that a backward would need.
  double forward() {
    double loss_sum = 0.0, tokens = 0.0;
    stream_.submit([&] {
      for (const MicroBatch& batch : batches_) {
        for (auto& model : models_) model->begin_step();
        loss_sum += forward_micro_batch(batch);
        tokens += static_cast<double>(batch.valid_tokens);
      }
      for (MicroBatchState& state : states_) state.saved.clear();
    });
    stream_.synchronize();
    return loss_sum / tokens;
  }
  // Of the last step, means over its micro-batches.
  const std::vector<StageSeconds>& stage_seconds() const { return seconds_; }

 private:
  double run_step() {
    seconds_.assign(models_.size(), {});
    for (auto& model : models_) model->begin_step();
    double loss_sum = 0.0, tokens = 0.0;
    for (const MicroBatch& batch : batches_) {
      loss_sum += run_micro_batch(batch);
      tokens += static_cast<double>(batch.valid_tokens);
    }
    for (StageSeconds& stage : seconds_) {
      stage.forward /= static_cast<double>(batches_.size());
      stage.backward /= static_cast<double>(batches_.size());
    }
    update();
    return loss_sum / tokens;
  }

  double forward_micro_batch(const MicroBatch& batch) {
    Tensor passed;
    for (std::size_t i = 0; i < models_.size(); ++i) {
      const double begin = now_s();
      states_[i].batch = batch;
      states_[i].input_td = std::exchange(passed, Tensor());
      Steps steps = models_[i]->forward(states_[i]);
      run_alone(steps);
      passed = std::exchange(states_[i].output_td, Tensor());
      seconds_[i].forward += now_s() - begin;
    }
    return states_.back().loss_sum;
  }

  double run_micro_batch(const MicroBatch& batch) {
    const double loss_sum = forward_micro_batch(batch);
    Tensor passed;
    for (std::size_t i = models_.size(); i-- > 0;) {
      const double begin = now_s();
      states_[i].output_gradient = std::exchange(passed, Tensor());
      Steps steps = models_[i]->backward(states_[i]);
      run_alone(steps);
      passed = std::exchange(states_[i].input_gradient, Tensor());
      seconds_[i].backward += now_s() - begin;
    }
    return loss_sum;
  }

  double squares_of(StageModel& model) {
    const Parameters& parameters = model.parameters();
    double squares = 0.0;
    for (int index = 0; index < parameters.count(); ++index) {
      if (parameters.is_alias(index) || !parameters.is_trainable(index)) continue;
      squares += kernels::sum_of_squares(stream_, parameters.gradient(index));
    }
    return squares;
  }

  void update() {
    double squares = 0.0;
    for (std::size_t i = 0; i < models_.size(); ++i) {
      const double begin = now_s();
      models_[i]->finish_gradients();
      squares += squares_of(*models_[i]);
      seconds_[i].finish = now_s() - begin;
    }
    const double scale = std::min(1.0, clip_norm / (std::sqrt(squares) + 1e-6));
    ++updates_;
    for (std::size_t i = 0; i < models_.size(); ++i) {
      const double begin = now_s();
      Steps update =
          optimizers_[i]->step(stream_, {updates_, learning_rate, scale}, models_[i]->parameters());
      run_alone(update);
      seconds_[i].finish += now_s() - begin;
    }
  }

  Stream& stream_;
  Allocator memory_;
  std::vector<MicroBatch> batches_;
  std::vector<std::unique_ptr<StageModel>> models_;
  std::vector<std::unique_ptr<Optimizer>> optimizers_;
  std::vector<MicroBatchState> states_;
  std::vector<StageSeconds> seconds_;
  std::int64_t updates_ = 0;
};

}  // namespace collie::bench
