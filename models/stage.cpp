#include "models/stage.hpp"

#include <algorithm>
#include <ranges>
#include <utility>

#include "kernels/elementwise.hpp"
#include "models/decoder.hpp"
#include "models/gradient_buckets.hpp"
#include "models/gradient_turns.hpp"
#include "models/peft/tuning.hpp"
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
                    bool keeps_saved);

  ModelTraits traits;
  StageSlice slice;
  StageOptions options;
  Stream& stream;
  Parameters parameters;
  RotaryTable rotary;
  std::vector<std::unique_ptr<Segment>> segments;
  std::vector<std::vector<StoreRange>> segment_ranges;  // where replicas share values
  ParameterWindow values;
  // Which gradients the step has begun: those the head makes in forward, those of backward_input,
  // those of backward_weight.
  bool head_started = false;
  bool inputs_started = false;
  bool weights_started = false;
};

void StageModel::Impl::make_segments() {
  const ShardModel model{traits, slice, options, parameters, rotary};
  if (slice.has_embedding) segments.push_back(make_embedding_segment(model));
  for (std::int64_t layer = slice.layer_begin; layer < slice.layer_end; ++layer) {
    segments.push_back(make_attention_half(model, layer, layer - slice.layer_begin));
    segments.push_back(make_mlp_half(model, layer));
  }
  if (slice.has_head) segments.push_back(make_head_segment(model));
  if (!gathers_values()) return;
  segment_ranges =
      ranges_of_segments(parameters, slice.layer_begin, segments.size(), slice.has_embedding);
}

void StageModel::Impl::finish_forward(MicroBatchState& state, SegmentContext& context,
                                      Hidden& hidden) {
  if (slice.has_head) {
    state.loss_sum = context.loss_sum;
    state.row_losses = std::move(context.row_losses);
    state.logits_tv = context.logits_tv;
    head_started = head_started || state.mode == Mode::train;
    return;
  }
  state.output_td = hidden.x_td;
  if (!hidden.delta_td) return;
  state.output_td = stream.allocate(hidden.x_td.dtype(), hidden.x_td.shape());
  kernels::add(stream, hidden.x_td, hidden.delta_td, state.output_td);
}

Steps StageModel::Impl::values_of(std::size_t segment) {
  if (!gathers_values()) co_return;
  Steps steps = gather_values(parameters, segment_ranges[segment], values);
  while (steps.advance()) co_yield steps.reduction();
}

void StageModel::Impl::drop_values() {
  parameters.values_from(nullptr);
  values.groups.clear();
}

void StageModel::Impl::open_window(MicroBatchState& state, std::size_t segment) {
  if (!has_windows() || state.mode != Mode::train) return;
  state.windows.resize(segments.size());
  state.windows[segment].stream = &stream;
  parameters.gradients_into(&state.windows[segment]);
}

Steps StageModel::Impl::reduce_window(MicroBatchState& state, std::size_t segment) {
  if (!has_windows() || state.mode != Mode::train) co_return;
  Steps steps = reduce_to_owners(stream, parameters, state.windows[segment]);
  while (steps.advance()) co_yield steps.reduction();
}

Steps StageModel::Impl::walk_back(MicroBatchState& state, bool with_weights) {
  SegmentContext seen = context(state);
  Tensor gradient_td = std::exchange(state.output_gradient, Tensor());
  for (std::size_t index = segments.size(); index-- > 0;) {
    Steps gathered = values_of(index);
    while (gathered.advance()) co_yield gathered.reduction();
    open_window(state, index);
    Steps steps = segments[index]->backward_input(seen, state.saved[index], gradient_td);
    while (steps.advance()) co_yield steps.reduction();
    if (!with_weights) continue;
    segments[index]->backward_weight(seen, state.saved[index]);
    Steps sums = reduce_window(state, index);
    while (sums.advance()) co_yield sums.reduction();
  }
  parameters.gradients_into(nullptr);
  drop_values();
  state.input_gradient = gradient_td;
  inputs_started = true;
  weights_started = weights_started || with_weights;
}

// The sum over micro-batches of one segment's weight gradients.
void StageModel::Impl::make_weights(const std::vector<MicroBatchState*>& micro_batches,
                                    std::size_t segment, bool keeps_saved) {
  bool accumulate = false;
  for (MicroBatchState* state : micro_batches) {
    SegmentContext seen = context(*state);
    seen.accumulate_weight = std::exchange(accumulate, true);
    Saved kept;
    if (keeps_saved) kept = state->saved[segment];
    segments[segment]->backward_weight(seen, state->saved[segment]);
    if (keeps_saved) state->saved[segment] = std::move(kept);
  }
  const bool is_embedding = slice.has_embedding && segment == 0;
  if (is_embedding) add_tied_gradient(stream, parameters);
}

StageModel::StageModel(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StageModel::~StageModel() = default;

Result<std::unique_ptr<StageModel>> StageModel::create(const ModelTraits& traits, StageSlice slice,
                                                       StageOptions options, Stream& stream) {
  COLLIE_TRY(std::vector<ParameterSpec> specs, declare_parameters(traits, slice));
  if (options.loss && slice.tp_size > 1) {
    return make_error(ErrorCode::unsupported,
                      "a custom loss needs the whole vocabulary: set grid.tp to 1, not {}",
                      slice.tp_size);
  }
  if (options.tuning) declare_tuning(*options.tuning, traits, slice, specs);
  if (options.update_in_backward != UpdateInBackward::no && options.with_gradients) {
    take_turns(traits, slice, options.update_in_backward == UpdateInBackward::one_pass, specs);
  }
  auto impl = std::make_unique<Impl>(traits, slice, std::move(options), stream, std::move(specs));
  impl->make_segments();
  return std::unique_ptr<StageModel>(new StageModel(std::move(impl)));
}

Parameters& StageModel::parameters() {
  return impl_->parameters;
}
const StageSlice& StageModel::slice() const {
  return impl_->slice;
}

void StageModel::begin_step() {
  impl_->head_started = impl_->inputs_started = impl_->weights_started = false;
  impl_->parameters.begin_step();
}

Steps StageModel::forward(MicroBatchState& state) {
  Impl& impl = *impl_;
  SegmentContext seen = impl.context(state);
  seen.accumulate_weight = impl.head_started && !impl.has_windows();
  state.saved.resize(impl.segments.size());
  if (state.slices) {
    state.slices->resize(static_cast<std::size_t>(impl.slice.layer_end - impl.slice.layer_begin));
  }
  Hidden hidden{std::exchange(state.input_td, Tensor()), Tensor()};
  for (std::size_t index = 0; index < impl.segments.size(); ++index) {
    Steps gathered = impl.values_of(index);
    while (gathered.advance()) co_yield gathered.reduction();
    const bool makes_gradients = impl.slice.has_head && index + 1 == impl.segments.size();
    if (makes_gradients) impl.open_window(state, index);
    Steps steps = impl.segments[index]->forward(seen, state.saved[index], hidden);
    while (steps.advance()) co_yield steps.reduction();
    if (!makes_gradients) continue;
    Steps sums = impl.reduce_window(state, index);
    while (sums.advance()) co_yield sums.reduction();
  }
  impl.drop_values();
  impl.finish_forward(state, seen, hidden);
}

Steps StageModel::recompute(MicroBatchState& state) {
  SegmentContext seen = impl_->context(state);
  for (std::size_t index = 0; index < impl_->segments.size(); ++index) {
    Steps gathered = impl_->values_of(index);
    while (gathered.advance()) co_yield gathered.reduction();
    impl_->segments[index]->recompute(seen, state.saved[index]);
  }
  impl_->drop_values();
}

Steps StageModel::backward_input(MicroBatchState& state) {
  return impl_->walk_back(state, false);
}
Steps StageModel::backward(MicroBatchState& state) {
  return impl_->walk_back(state, true);
}

Steps StageModel::backward_weight(MicroBatchState& state) {
  SegmentContext seen = impl_->context(state);
  for (std::size_t index = impl_->segments.size(); index-- > 0;) {
    // Weight gradients are made of activations alone, but for adapters and factors.
    Steps gathered = impl_->options.tuning ? impl_->values_of(index) : Steps();
    while (impl_->options.tuning && gathered.advance()) co_yield gathered.reduction();
    impl_->open_window(state, index);
    impl_->segments[index]->backward_weight(seen, state.saved[index]);
    Steps sums = impl_->reduce_window(state, index);
    while (sums.advance()) co_yield sums.reduction();
  }
  impl_->drop_values();
  impl_->weights_started = true;
}

Steps StageModel::backward_in_turn(std::vector<MicroBatchState*> micro_batches,
                                   MicroBatchState* last, WeightPass pass, TurnEnd& end) {
  Impl& impl = *impl_;
  Tensor gradient_td;
  if (last != nullptr) {
    micro_batches.push_back(last);
    gradient_td = std::exchange(last->output_gradient, Tensor());
  }
  for (std::size_t index = impl.segments.size(); index-- > 0;) {
    if (last != nullptr) {
      SegmentContext seen = impl.context(*last);
      Steps steps = impl.segments[index]->backward_input(seen, last->saved[index], gradient_td);
      while (steps.advance()) co_yield steps.reduction();
    }
    if (pass == WeightPass::again && !has_turn(impl.parameters, static_cast<int>(index))) continue;
    impl.make_weights(micro_batches, index, pass == WeightPass::first);
    Steps steps = end.end_turn(static_cast<int>(index));
    while (steps.advance()) co_yield steps.reduction();
    if (end.gives_up()) co_return;
  }
  if (last != nullptr) last->input_gradient = gradient_td;
  impl.inputs_started = impl.inputs_started || last != nullptr;
  impl.weights_started = true;
}

std::vector<LayerCache> StageModel::make_caches(std::int64_t capacity) {
  const ModelTraits& traits = impl_->traits;
  const std::int64_t kv_heads =
      std::max<std::int64_t>(traits.kv_head_count / impl_->slice.tp_size, 1);
  const Shape shape{capacity, 2 * kv_heads * traits.head_dim};
  std::vector<LayerCache> caches;
  for (std::int64_t layer = impl_->slice.layer_begin; layer < impl_->slice.layer_end; ++layer) {
    const DType dtype = impl_->options.compute_dtype;
    caches.push_back({allocate_tensor(impl_->stream.allocator(), dtype, shape), 0});
  }
  return caches;
}

void StageModel::finish_gradients() {
  const int embedding = impl_->parameters.find("embedding");
  if (embedding < 0 || impl_->parameters.is_in_turn(embedding)) return;
  if (impl_->has_windows() && !impl_->parameters.is_in_own_share(embedding)) return;
  add_tied_gradient(impl_->stream, impl_->parameters);
}

}  // namespace collie
