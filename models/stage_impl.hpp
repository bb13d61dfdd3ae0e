// What a StageModel holds: for stage.cpp and stage_backward.cpp alone.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "models/decoder.hpp"
#include "models/stage.hpp"
#include "models/value_shares.hpp"

namespace collie {

struct StageModel::Impl {
  Impl(const ModelTraits& model_traits, StageSlice stage_slice, StageOptions stage_options,
       Stream& owner, std::vector<ParameterSpec> specs)
      : traits(model_traits),
        slice(stage_slice),
        options(std::move(stage_options)),
        stream(owner),
        parameters(owner.allocator(), std::move(specs),
                   ParameterStores{options.compute_dtype, options.with_gradients,
                                   options.master_weights, options.sharding}),
        rotary(traits, owner) {}

  void make_segments();
  SegmentContext context(const MicroBatchState& state) const {
    SegmentContext made{stream, state.batch};
    made.mode = state.mode;
    made.accumulate_input = inputs_started && !has_windows();
    made.accumulate_weight = weights_started && !has_windows();
    made.keeps_input = state.keeps_input;
    made.caches = state.caches;
    made.slices = state.slices.get();
    return made;
  }
  void finish_forward(MicroBatchState& state, SegmentContext& context, Hidden& hidden);
  Steps walk_back(MicroBatchState& state, bool with_weights);
  void drop_untrained(MicroBatchState& state) const;
  // Where replicas share gradients, those of one segment and micro-batch have room of their own
  // from open_window() until they have been reduced.
  bool has_windows() const { return parameters.sharding().shares_gradients(); }
  // Where replicas share values: those of one segment are here until drop_values().
  bool gathers_values() const { return parameters.sharding().shares_values(); }
  Steps values_of(std::size_t segment);
  void drop_values();
  void open_window(MicroBatchState& state, std::size_t segment);
  Steps reduce_window(MicroBatchState& state, std::size_t segment);
  void make_weights(const std::vector<MicroBatchState*>& micro_batches, std::size_t segment,
                    WeightPass pass);

  ModelTraits traits;
  StageSlice slice;
  StageOptions options;
  Stream& stream;
  Parameters parameters;
  RotaryTable rotary;
  std::vector<std::unique_ptr<Segment>> segments;
  // Those before it are frozen and nothing before them is trained: they have no backward.
  std::size_t first_trained = 0;
  std::vector<std::vector<StoreRange>> segment_ranges;  // where replicas share values
  ParameterWindow values;
  std::vector<MicroBatchState*> forward_order;  // where gradients take turns: as the head saw them
  // Which gradients the step has begun: those the head makes in forward, those of backward_input,
  // those of backward_weight.
  bool head_started = false;
  bool inputs_started = false;
  bool weights_started = false;
};

}  // namespace collie
