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

struct Tuning;

enum class Recompute { none, attention, full };

// Whether weights are updated within the backward, so that a step never holds all gradients; and
// with two_pass all of them are made once before, to be measured, and made again.
enum class UpdateInBackward { no, one_pass, two_pass };

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
  bool master_weights = true;  // see ParameterStores
  UpdateInBackward update_in_backward = UpdateInBackward::no;
  std::shared_ptr<const Loss> loss;      // null: cross entropy
  std::shared_ptr<const Tuning> tuning;  // null: all parameters are trained
  Sharding sharding;                     // what this replica keeps of the parameters' stores
  double dropout = 0.0;                  // in training, see ResidualDropout
  std::uint64_t dropout_seed = 0;
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
  std::vector<double> row_losses;  // last stage in Mode::evaluate: the same of each row
  Tensor logits_tv;  // last stage in Mode::generate, first shard: f32 [rows, vocabulary]
  std::vector<LayerCache>* caches = nullptr;  // Mode::generate: make_caches() of each row
  std::vector<Saved> saved;                   // one per segment
  // Set before forward: it keeps what recompute() needs alone.
  bool keeps_input = false;
  // What the slices of one micro-batch share, one per layer of the stage; null when the batch is
  // not a slice. Slices go forward from the first to the last and back from the last to the first.
  std::shared_ptr<std::vector<SliceCache>> slices;
  // With ZeRO-2 one per segment: gradients between the work that makes them and their reduction.
  std::vector<ParameterWindow> windows;
};

// Told by backward_in_turn() when the gradients of one turn are complete. They are gone with the
// next turn's.
class TurnEnd {
 public:
  virtual ~TurnEnd() = default;
  virtual Steps end_turn(int turn) = 0;
  virtual bool gives_up() const = 0;  // asked after each: true ends the walk
};

// Which time the weight gradients of a step are made: once, or first (what they are made of is
// kept) and again (but for segments of which nothing takes turns).
enum class WeightPass { only, first, again };

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
  // Where replicas share values: what each segment reads, see ranges_of_segments(); its gathers are
  // of these ranges in turn, numbered through (Reduction::unit). Else empty.
  const std::vector<std::vector<StoreRange>>& value_ranges() const;
  bool weights_read_values() const;  // whether backward_weight() gathers too

  // Forgets which gradients have been started: the next micro-batch sets them instead of adding.
  void begin_step();
  Steps forward(MicroBatchState& state);
  // Between forward and backward: what a forward with keeps_input set (or StageOptions::recompute)
  // has not kept. With the forward's weights the backward is the same to the last bit.
  Steps recompute(MicroBatchState& state);
  Steps backward_input(MicroBatchState& state);   // segments in reverse order
  Steps backward_weight(MicroBatchState& state);  // reverse order too
  // Both in one, segment by segment: the same gradients to the last bit and less memory at its
  // peak, above all when activations are recomputed, which otherwise all wait for backward_weight.
  Steps backward(MicroBatchState& state);
  // With StageOptions::update_in_backward, in place of the calls of backward_weight() and the last
  // of backward(): once in a step, after all forwards, with the micro-batches whose
  // backward_input() is done, in the order in which their gradients add up. Goes through the
  // segments from the last to the first, makes the weight gradients of one and ends its turn.
  // `last`, unless null, is the micro-batch at the end of that order, whose backward_input() is
  // made on the way.
  //
  // What is not made by one segment's backward_weight() has room of its own until the end of the
  // step: gains and biases of norms; a tied embedding and learned positions beside it. The head's
  // gradient, made in forward, is in turn: it is first, and a second pass makes it anew from the
  // head's input and the statistics of its logits.
  Steps backward_in_turn(std::vector<MicroBatchState*> micro_batches, MicroBatchState* last,
                         WeightPass pass, TurnEnd& end);
  // Empty key/value caches of this stage's layers for one row of at most `capacity` tokens.
  std::vector<LayerCache> make_caches(std::int64_t capacity);
  // Adds the head's gradient of a tied embedding to the embedding's when both are here; with more
  // than one stage the actors sum over the two stages instead: embedding's + head's. Runs a kernel.
  // Nothing to do where the embedding's gradient is in turn.
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
