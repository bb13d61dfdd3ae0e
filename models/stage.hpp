// One tensor shard of one pipeline stage: its segments and parameters. Single-device code; whoever
// runs it performs the reductions it declares (see segment.hpp).
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "models/loss.hpp"
#include "models/parameters.hpp"
#include "models/segment.hpp"
#include "models/traits.hpp"

namespace collie {

enum class Recompute { none, attention, full };

// Which part of the model a shard is.
struct StageSlice {
  std::int64_t layer_begin = 0, layer_end = 0;
  bool has_embedding = true;
  bool has_head = true;
  int tp_rank = 0;
  int tp_size = 1;
};

struct StageOptions {
  DType compute_dtype = DType::f32;
  Recompute recompute = Recompute::none;
  bool with_gradients = true;
  std::shared_ptr<const Loss> loss;  // null: cross entropy
};

// One micro-batch on its way through one shard. Reused from step to step.
struct MicroBatchState {
  MicroBatch batch;  // ids on the first stage, labels on the last, positions on all
  Mode mode = Mode::train;
  Tensor input_td;         // from the stage before; undefined on the first. Taken by forward
  Tensor output_td;        // for the next stage; undefined on the last
  Tensor output_gradient;  // from the next stage; undefined on the last. Taken by backward_input
  Tensor input_gradient;   // for the stage before; undefined on the first
  double loss_sum = 0.0;   // last stage: unscaled sum over valid tokens, the same on all its shards
  Tensor logits_tv;        // last stage in Mode::generate
  std::vector<LayerCache>* caches = nullptr;  // Mode::generate: see make_caches
  std::vector<Saved> saved;                   // one per segment
};

class StageModel {
 public:
  // Fails when the slice cannot be cut so (heads not divisible by tp_size, ...), naming the key.
  // The stream must outlive the model. Parameter values are undefined: see Parameters::initialize
  // and load_parameters.
  static Result<std::unique_ptr<StageModel>> create(const ModelTraits& traits, StageSlice slice,
                                                    StageOptions options, Stream& stream);
  ~StageModel();

  Parameters& parameters();
  const StageSlice& slice() const;

  // Forgets which gradients have been started: the next micro-batch sets them instead of adding.
  void begin_step();
  Steps forward(MicroBatchState& state);
  Steps backward_input(MicroBatchState& state);  // segments in reverse order
  void backward_weight(MicroBatchState& state);  // reverse order too
  // Both in one, segment by segment: the same gradients to the last bit and less memory at its
  // peak, above all when activations are recomputed, which otherwise all wait for backward_weight.
  Steps backward(MicroBatchState& state);
  // Empty key/value caches of this stage's layers for one row of at most `capacity` tokens.
  std::vector<LayerCache> make_caches(std::int64_t capacity);
  // Adds the head's gradient of a tied embedding to the embedding's when both are here; with more
  // than one stage the actors sum over the two stages instead: embedding's + head's. Runs a kernel.
  void finish_gradients();

 private:
  struct Impl;
  explicit StageModel(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Pure: the parameters of one slice in canonical order, with their cut, binding and initial values.
Result<std::vector<ParameterSpec>> declare_parameters(const ModelTraits& traits,
                                                      const StageSlice& slice);

}  // namespace collie
