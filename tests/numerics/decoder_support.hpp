// A grid of stage models in one thread, for tests: it performs the reductions that the shards of a
// stage declare and hands activations from stage to stage.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/elementwise.hpp"
#include "models/sequence_slice.hpp"
#include "tests/numerics/decoder_golden.hpp"

namespace collie::testing {

struct GridOptions {
  int tp = 1;
  std::vector<std::int64_t> cuts;  // layers where a new stage begins
  StageOptions stage;
  bool fused_backward = false;
  int slices = 1;  // of each micro-batch in training
};

class TestGrid {
 public:
  TestGrid(const ModelTraits& traits, GridOptions options)
      : traits_(traits), options_(std::move(options)), stream_(inline_stream()) {
    std::vector<std::int64_t> bounds = options_.cuts;
    bounds.insert(bounds.begin(), 0);
    bounds.push_back(traits.layer_count);
    for (std::size_t stage = 0; stage + 1 < bounds.size(); ++stage) {
      auto& shards = stages_.emplace_back();
      for (int rank = 0; rank < options_.tp; ++rank) {
        const StageSlice slice{bounds[stage], bounds[stage + 1],
                               stage == 0,    stage + 2 == bounds.size(),
                               rank,          options_.tp};
        shards.push_back(must(StageModel::create(traits, slice, options_.stage, stream_)));
      }
    }
  }

  Stream& stream() { return stream_; }
  auto& stages() { return stages_; }

  void load(const std::string& directory) {
    const TensorDirectory tensors = must(TensorDirectory::open(directory));
    each([&](StageModel& model) {
      must_succeed(load_parameters(tensors, traits_, model.parameters(), stream_));
    });
  }
  void initialize(std::uint64_t seed) {
    each([&](StageModel& model) { model.parameters().initialize(stream_, seed); });
  }

  // Forward of all stages; with Mode::train backward too. Returns the unscaled loss sum.
  double run(const MicroBatch& batch, Mode mode = Mode::train) {
    if (mode == Mode::train && options_.slices > 1) return run_slices(batch);
    prepare(batch, mode);
    for (std::size_t stage = 0; stage < stages_.size(); ++stage) forward(stage);
    const double loss = states_.back()[0].loss_sum;
    for (std::size_t stage = stages_.size(); mode == Mode::train && stage-- > 0;) backward(stage);
    return loss;
  }

  // A whole step of these micro-batches: gradients complete in every store.
  double step(const std::vector<MicroBatch>& batches) {
    each([](StageModel& model) { model.begin_step(); });
    double loss = 0.0;
    for (const MicroBatch& batch : batches) loss += run(batch);
    each([](StageModel& model) { model.finish_gradients(); });
    add_tied_head();
    sum_gradient_groups();
    return loss;
  }

  // Whole gradients by canonical name.
  std::map<std::string, std::vector<float>> gradients() {
    ModelAssembler assembler;
    std::map<std::string, std::vector<float>> found;
    each([&](StageModel& model) {
      const Parameters& parameters = model.parameters();
      for (int index = 0; index < parameters.count(); ++index) {
        const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
        if (!spec.trainable) continue;
        assembler.add(spec, parameters.gradient(index));
        if (spec.owned) found[spec.name].resize(static_cast<std::size_t>(spec.rows * spec.cols));
      }
    });
    for (auto& [name, values] : found) must_succeed(assembler.copy_global(name, values));
    return found;
  }

  // Logits of the last of these tokens of one row, with the caches of the calls before.
  std::vector<float> generate(const std::vector<std::int32_t>& ids, std::int64_t capacity) {
    if (caches_.empty()) make_caches(capacity);
    const auto count = static_cast<std::int64_t>(ids.size());
    const MicroBatch batch = make_batch(stream_, 1, ids, ids, plain_positions(1, count, length_));
    run(batch, Mode::generate);
    length_ += count;
    std::vector<float> logits;
    for (const MicroBatchState& state : states_.back()) {
      if (!state.logits_tv) continue;  // the first shard has all of them
      const auto* values = state.logits_tv.data<float>();
      logits.insert(logits.end(), values, values + state.logits_tv.element_count());
    }
    return logits;
  }

  template <class Function>
  void each(Function function) {
    for (auto& shards : stages_) {
      for (auto& model : shards) stream_.submit([&] { function(*model); });
    }
  }

 private:
  void prepare(const MicroBatch& batch, Mode mode) {
    states_.resize(stages_.size());
    for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
      states_[stage].resize(stages_[stage].size());
      for (std::size_t rank = 0; rank < stages_[stage].size(); ++rank) {
        MicroBatchState& state = states_[stage][rank];
        state.batch = batch;
        state.mode = mode;
        state.caches = mode == Mode::generate ? &caches_[stage][rank] : nullptr;
      }
    }
  }

  // Forwards from the first slice to the last, backwards from the last to the first.
  double run_slices(const MicroBatch& whole) {
    std::vector<std::vector<std::vector<MicroBatchState>>> slices;
    double loss = 0.0;
    for (int index = 0; index < options_.slices; ++index) {
      MicroBatch part = whole;
      part.slice = {.index = index, .count = options_.slices};
      prepare(part, Mode::train);
      for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
        for (std::size_t rank = 0; rank < states_[stage].size(); ++rank) {
          stream_.submit([&] {
            set_batch(stream_, part, index > 0 ? &slices.back()[stage][rank] : nullptr,
                      states_[stage][rank]);
          });
        }
        forward(stage);
      }
      loss += states_.back()[0].loss_sum;
      slices.push_back(std::exchange(states_, {}));
    }
    for (; !slices.empty(); slices.pop_back()) {
      states_ = std::move(slices.back());
      for (std::size_t stage = stages_.size(); stage-- > 0;) backward(stage);
    }
    return loss;
  }

  void make_caches(std::int64_t capacity) {
    for (auto& shards : stages_) {
      auto& caches = caches_.emplace_back();
      for (auto& model : shards) caches.push_back(model->make_caches(capacity));
    }
  }

  void forward(std::size_t stage) {
    std::vector<Steps> steps;
    for (std::size_t rank = 0; rank < stages_[stage].size(); ++rank) {
      if (stage > 0) states_[stage][rank].input_td = states_[stage - 1][rank].output_td;
      steps.push_back(stages_[stage][rank]->forward(states_[stage][rank]));
    }
    run_together(steps);
    for (MicroBatchState& state : states_[stage]) {
      if (state.output_td) state.output_td.freeze();
    }
  }

  void backward(std::size_t stage) {
    std::vector<Steps> steps;
    for (std::size_t rank = 0; rank < stages_[stage].size(); ++rank) {
      MicroBatchState& state = states_[stage][rank];
      StageModel& model = *stages_[stage][rank];
      if (stage + 1 < stages_.size()) {
        state.output_gradient = states_[stage + 1][rank].input_gradient;
        state.output_gradient.freeze();
      }
      steps.push_back(options_.fused_backward ? model.backward(state)
                                              : model.backward_input(state));
    }
    run_together(steps);
    if (options_.fused_backward) return;
    for (std::size_t rank = 0; rank < stages_[stage].size(); ++rank) {
      stream_.submit([&] {
        Steps weights = stages_[stage][rank]->backward_weight(states_[stage][rank]);
        run_alone(weights);
      });
    }
  }

  // All shards of a stage go from reduction to reduction in lockstep.
  void run_together(std::vector<Steps>& steps) {
    stream_.submit([&] {
      while (true) {
        std::size_t waiting = 0;
        for (Steps& one : steps) waiting += one.advance() ? 1 : 0;
        if (waiting == 0) return;
        COLLIE_CHECK(waiting == steps.size(), "shards declare different reductions");
        reduce(steps);
      }
    });
  }

  // Every shard gets the same frozen tensor, as it would from an actor.
  void reduce(std::vector<Steps>& steps) {
    std::vector<Tensor> parts;
    for (Steps& one : steps) parts.push_back(*one.reduction().tensor);
    if (steps[0].reduction().op == ReduceOp::gather) {
      for (Tensor& part : parts) part.freeze();
      for (Steps& one : steps) *one.reduction().parts = parts;
      return;
    }
    if (steps.size() == 1) return;
    Tensor sum = stream_.allocate(parts[0].dtype(), parts[0].shape());
    kernels::sum_in_order(stream_, parts, sum);
    sum.freeze();
    for (Steps& one : steps) *one.reduction().tensor = sum;
  }

  void add_tied_head() {
    if (!traits_.tied_embeddings || stages_.size() == 1) return;
    for (int rank = 0; rank < options_.tp; ++rank) {
      Parameters& first = stages_.front()[static_cast<std::size_t>(rank)]->parameters();
      Parameters& last = stages_.back()[static_cast<std::size_t>(rank)]->parameters();
      if (!last.is_trainable(last.find("head"))) return;
      Tensor embedding = first.gradient(first.find("embedding"));
      const Tensor head = last.gradient(last.find("head"));
      stream_.submit([&] { kernels::add(stream_, embedding, head, embedding); });
    }
  }

  void sum_gradient_groups() {
    for (auto& shards : stages_) {
      for (auto& model : shards) {
        Parameters& parameters = model->parameters();
        for (int index = 0; index < parameters.count(); ++index) {
          const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
          if (!spec.trainable) continue;
          if (spec.owned && spec.gradient_group_end > 0) sum_group(shards, spec, index);
        }
      }
    }
  }

  void sum_group(std::vector<std::unique_ptr<StageModel>>& shards, const ParameterSpec& spec,
                 int index) {
    std::vector<Tensor> parts;
    for (int rank = spec.gradient_group_begin; rank < spec.gradient_group_end; ++rank) {
      parts.push_back(shards[static_cast<std::size_t>(rank)]->parameters().gradient(index));
    }
    Tensor sum = parts[0];
    stream_.submit([&] { kernels::sum_in_order(stream_, parts, sum); });
  }

  ModelTraits traits_;
  GridOptions options_;
  Stream stream_;
  std::vector<std::vector<std::unique_ptr<StageModel>>> stages_;
  std::vector<std::vector<MicroBatchState>> states_;
  std::vector<std::vector<std::vector<LayerCache>>> caches_;
  std::int64_t length_ = 0;
};

}  // namespace collie::testing
