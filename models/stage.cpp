#include "models/stage.hpp"

#include <algorithm>
#include <ranges>
#include <utility>

#include "kernels/elementwise.hpp"
#include "models/gradient_buckets.hpp"
#include "models/gradient_turns.hpp"
#include "models/peft/tuning.hpp"
#include "models/stage_impl.hpp"

namespace collie {

void StageModel::Impl::make_segments() {
  const ShardModel model{traits, slice, options, parameters, rotary};
  if (slice.has_embedding) segments.push_back(make_embedding_segment(model));
  for (std::int64_t layer = slice.layer_begin; layer < slice.layer_end; ++layer) {
    segments.push_back(make_attention_half(model, layer, layer - slice.layer_begin));
    segments.push_back(make_mlp_half(model, layer));
  }
  if (slice.has_head) segments.push_back(make_head_segment(model));
  std::vector<std::vector<StoreRange>> ranges =
      ranges_of_segments(parameters, slice.layer_begin, segments.size(), slice.has_embedding);
  // Values that are gathered come and go in one order for all segments.
  if (gathers_values()) {
    segment_ranges = std::move(ranges);
  } else if (slice.has_embedding) {
    const auto is_trained = [&](const std::vector<StoreRange>& of_segment) {
      return std::ranges::any_of(of_segment, [&](const StoreRange& range) {
        return range.begin < parameters.trainable_elements();
      });
    };
    first_trained =
        static_cast<std::size_t>(std::ranges::find_if(ranges, is_trained) - ranges.begin());
  }
}

void StageModel::Impl::finish_forward(MicroBatchState& state, SegmentContext& context,
                                      Hidden& hidden) {
  if (slice.has_head) {
    state.loss_sum = context.loss_sum;
    state.row_losses = std::move(context.row_losses);
    state.logits_tv = context.logits_tv;
    head_started = head_started || state.mode == Mode::train;
    if (state.mode == Mode::train && parameters.takes_turns()) forward_order.push_back(&state);
    return;
  }
  state.output_td = hidden.x_td;
  if (!hidden.delta_td) return;
  state.output_td = stream.allocate(hidden.x_td.dtype(), hidden.x_td.shape());
  kernels::add(stream, hidden.x_td, hidden.delta_td, state.output_td);
}

Steps StageModel::Impl::values_of(std::size_t segment) {
  if (!gathers_values()) co_return;
  int first_unit = 0;
  for (std::size_t before = 0; before < segment; ++before) {
    first_unit += static_cast<int>(segment_ranges[before].size());
  }
  Steps steps = gather_values(parameters, segment_ranges[segment], first_unit, values);
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
    take_turns(traits, slice, specs);
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
const std::vector<std::vector<StoreRange>>& StageModel::value_ranges() const {
  return impl_->segment_ranges;
}
bool StageModel::weights_read_values() const {
  return impl_->options.tuning != nullptr;
}

void StageModel::begin_step() {
  impl_->head_started = impl_->inputs_started = impl_->weights_started = false;
  impl_->forward_order.clear();
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
    if (index < impl.first_trained) state.saved[index] = Saved();
    if (!makes_gradients) continue;
    Steps sums = impl.reduce_window(state, index);
    while (sums.advance()) co_yield sums.reduction();
  }
  impl.drop_values();
  impl.finish_forward(state, seen, hidden);
}

Steps StageModel::recompute(MicroBatchState& state) {
  SegmentContext seen = impl_->context(state);
  for (std::size_t index = impl_->first_trained; index < impl_->segments.size(); ++index) {
    Steps gathered = impl_->values_of(index);
    while (gathered.advance()) co_yield gathered.reduction();
    impl_->segments[index]->recompute(seen, state.saved[index]);
  }
  impl_->drop_values();
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
