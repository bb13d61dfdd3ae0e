// A model of realistic proportions on real actors and streams, built the way the trainer builds it,
// so that a test may look into its executors.
#pragma once

#include <memory>
#include <vector>

#include "actors/curvature.hpp"
#include "actors/run_setup.hpp"
#include "actors/turn_updates.hpp"
#include "actors/world.hpp"

namespace collie::testing {

inline RunConfig proportioned_config(const std::vector<std::string>& overrides) {
  const std::string_view text = R"({
    "model": {"tokenizer_vocab_size": 2048,
              "fresh": {"model_type": "llama", "vocab_size": 2048, "hidden_size": 128,
                        "num_hidden_layers": 4, "num_attention_heads": 4,
                        "num_key_value_heads": 4, "intermediate_size": 344,
                        "max_position_embeddings": 128, "rms_norm_eps": 1e-5}},
    "data": {"sequence_length": 128},
    "grid": {"threads": 1},
    "train": {"max_steps": 3, "micro_batch_size": 4, "accumulation": 4}})";
  Result<RunConfig> config = parse_config(text, "test", overrides);
  COLLIE_CHECK(config.ok(), "{}", config.error().message);
  return std::move(config).value();
}

class MeasuredGrid {
 public:
  explicit MeasuredGrid(const RunConfig& config) : config_(config), memory_("test data") {
    Result<ModelSetup> setup = set_up_model(config);
    COLLIE_CHECK(setup.ok(), "{}", setup.error().message);
    setup_ = std::move(setup).value();
    RankStreams streams(setup_.grid, setup_.schedule);
    for (int i = 0; i < setup_.grid.shard_count(); ++i) make_executor(i, streams);
    WorldOptions options;
    options.grid = setup_.grid;
    options.schedule = setup_.schedule;
    options.depth = 2;
    options.batches = [this](Mode, std::int64_t step, int, int) { return batch(step); };
    world_ = make_local_world(std::move(options), executors_, 1);
  }

  const ModelSetup& setup() const { return setup_; }
  void train(int steps) {
    for (int i = 0; i < steps; ++i) {
      RoundRequest request;
      request.step = step_++;
      request.micro_batches = static_cast<int>(config_.train.accumulation);
      request.learning_rate = 1e-3;
      request.clip_norm = config_.train.clip_norm;
      const auto estimate =
          curvature_round(request, *executors_.front()->optimizer(), config_.train.optimizer, 5);
      if (estimate) COLLIE_CHECK(world_->round(*estimate).ok(), "no estimate of curvature");
      Result<RoundOutcome> outcome = world_->round(request);
      COLLIE_CHECK(outcome.ok(), "{}", outcome.error().message);
    }
  }
  ModelExecutor& executor(int shard) const { return *executors_[static_cast<std::size_t>(shard)]; }
  MemoryUse memory_of(int shard) const {
    return executors_[static_cast<std::size_t>(shard)]->stream().allocator().use();
  }

 private:
  MicroBatch batch(std::int64_t step) {
    MicroBatch batch;
    batch.rows = config_.train.micro_batch_size;
    batch.sequence = config_.data.sequence_length;
    const Shape shape{batch.rows * batch.sequence};
    batch.ids_t = allocate_tensor(memory_, DType::i32, shape);
    batch.labels_t = allocate_tensor(memory_, DType::i32, shape);
    batch.positions_t = allocate_tensor(memory_, DType::i32, shape);
    batch.valid_tokens = shape.element_count();
    for (std::int64_t t = 0; t < shape.element_count(); ++t) {
      batch.ids_t.mutable_data<std::int32_t>()[t] =
          static_cast<std::int32_t>((t * 37 + step * 11) % setup_.traits.vocabulary_size);
      batch.labels_t.mutable_data<std::int32_t>()[t] = static_cast<std::int32_t>(t % 5);
      batch.positions_t.mutable_data<std::int32_t>()[t] =
          static_cast<std::int32_t>(t % batch.sequence);
    }
    return batch;
  }

  void make_executor(int index, RankStreams& streams) {
    ModelExecutorOptions options;
    options.grid = setup_.grid;
    options.self = shard_at(setup_.grid, index);
    options.slice = slice_of(setup_, options.self);
    options.stage.compute_dtype = config_.model.dtype;
    options.stage.recompute = setup_.recompute;
    options.stage.tuning = setup_.tuning;
    options.stage.master_weights = keeps_master_weights(config_, setup_);
    options.stage.update_in_backward = choose_update_in_backward(config_, setup_).value();
    options.optimizer = config_.train.optimizer;
    options.zero = static_cast<int>(config_.train.zero);
    options.zero_copies = config_.train.zero_copies;
    options.zero_prefetch = static_cast<int>(config_.train.zero_prefetch);
    options.stream.threads = setup_.threads;
    streams.assign(index, options);
    auto made = ModelExecutor::create(setup_.traits, std::move(options));
    COLLIE_CHECK(made.ok(), "{}", made.error().message);
    ModelExecutor* executor = made.value().get();
    owned_.push_back(std::move(made).value());
    executors_.push_back(executor);
    executor->stream().submit(
        [executor] { executor->parameters().initialize(executor->stream(), 7); });
    executor->stream().synchronize();
  }

  RunConfig config_;
  ModelSetup setup_;
  Allocator memory_;
  std::vector<std::unique_ptr<ModelExecutor>> owned_;
  Executors executors_;
  std::int64_t step_ = 0;
  std::unique_ptr<World> world_;  // last: it uses the executors
};

}  // namespace collie::testing
