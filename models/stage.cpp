#include "models/stage.hpp"

#include <algorithm>
#include <ranges>
#include <utility>

#include "kernels/elementwise.hpp"
#include "models/decoder.hpp"

namespace collie {

struct StageModel::Impl {
  Impl(const ModelTraits& model_traits, StageSlice stage_slice, StageOptions stage_options,
       Stream& owner, std::vector<ParameterSpec> specs)
      : traits(model_traits),
        slice(stage_slice),
        options(std::move(stage_options)),
        stream(owner),
        parameters(owner.allocator(), std::move(specs), options.compute_dtype,
                   options.with_gradients),
        rotary(traits, owner) {}

  void make_segments();
  SegmentContext context(const MicroBatchState& state) const {
    SegmentContext made{stream, state.batch};
    made.mode = state.mode;
    made.accumulate_input = inputs_started;
    made.accumulate_weight = weights_started;
    made.caches = state.caches;
    return made;
  }
  void finish_forward(MicroBatchState& state, SegmentContext& context, Hidden& hidden);
  Steps walk_back(MicroBatchState& state, bool with_weights);

  ModelTraits traits;
  StageSlice slice;
  StageOptions options;
  Stream& stream;
  Parameters parameters;
  RotaryTable rotary;
  std::vector<std::unique_ptr<Segment>> segments;
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
}

void StageModel::Impl::finish_forward(MicroBatchState& state, SegmentContext& context,
                                      Hidden& hidden) {
  if (slice.has_head) {
    state.loss_sum = context.loss_sum;
    state.logits_tv = context.logits_tv;
    head_started = head_started || state.mode == Mode::train;
    return;
  }
  state.output_td = hidden.x_td;
  if (!hidden.delta_td) return;
  state.output_td = stream.allocate(hidden.x_td.dtype(), hidden.x_td.shape());
  kernels::add(stream, hidden.x_td, hidden.delta_td, state.output_td);
}

Steps StageModel::Impl::walk_back(MicroBatchState& state, bool with_weights) {
  SegmentContext seen = context(state);
  Tensor gradient_td = std::exchange(state.output_gradient, Tensor());
  for (std::size_t index = segments.size(); index-- > 0;) {
    Steps steps = segments[index]->backward_input(seen, state.saved[index], gradient_td);
    while (steps.advance()) co_yield steps.reduction();
    if (with_weights) segments[index]->backward_weight(seen, state.saved[index]);
  }
  state.input_gradient = gradient_td;
  inputs_started = true;
  weights_started = weights_started || with_weights;
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
}

Steps StageModel::forward(MicroBatchState& state) {
  Impl& impl = *impl_;
  SegmentContext seen = impl.context(state);
  seen.accumulate_weight = impl.head_started;
  state.saved.resize(impl.segments.size());
  Hidden hidden{std::exchange(state.input_td, Tensor()), Tensor()};
  for (std::size_t index = 0; index < impl.segments.size(); ++index) {
    Steps steps = impl.segments[index]->forward(seen, state.saved[index], hidden);
    while (steps.advance()) co_yield steps.reduction();
  }
  impl.finish_forward(state, seen, hidden);
}

Steps StageModel::backward_input(MicroBatchState& state) {
  return impl_->walk_back(state, false);
}
Steps StageModel::backward(MicroBatchState& state) {
  return impl_->walk_back(state, true);
}

void StageModel::backward_weight(MicroBatchState& state) {
  SegmentContext seen = impl_->context(state);
  for (std::size_t index = impl_->segments.size(); index-- > 0;) {
    impl_->segments[index]->backward_weight(seen, state.saved[index]);
  }
  impl_->weights_started = true;
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
  Parameters& parameters = impl_->parameters;
  const int head = parameters.find("head");
  if (head < 0 || !parameters.is_alias(head)) return;
  Tensor embedding = parameters.gradient(parameters.find("embedding"));
  kernels::add(impl_->stream, embedding, parameters.gradient(head), embedding);
}

}  // namespace collie
