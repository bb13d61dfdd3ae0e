// StageModel: from the gradient of its output to that of its input and of its weights.
#include <utility>

#include "models/gradient_turns.hpp"
#include "models/stage_impl.hpp"

namespace collie {

// What is kept of the segments whose backward is left out.
void StageModel::Impl::drop_untrained(MicroBatchState& state) const {
  for (std::size_t index = 0; index < first_trained; ++index) state.saved[index] = Saved();
  if (!state.slices || state.batch.slice.index != 0) return;
  // Attention halves are the odd ones: the embedding is the first.
  for (std::size_t index = 1; index < first_trained; index += 2) {
    (*state.slices)[index / 2] = SliceCache();
  }
}

Steps StageModel::Impl::walk_back(MicroBatchState& state, bool with_weights) {
  SegmentContext seen = context(state);
  Tensor gradient_td = std::exchange(state.output_gradient, Tensor());
  for (std::size_t index = segments.size(); index-- > first_trained;) {
    Steps gathered = values_of(index);
    while (gathered.advance()) co_yield gathered.reduction();
    open_window(state, index);
    seen.needs_input_gradient = !slice.has_embedding || gathers_values() || index > first_trained;
    Steps steps = segments[index]->backward_input(seen, state.saved[index], gradient_td);
    while (steps.advance()) co_yield steps.reduction();
    if (!with_weights) continue;
    segments[index]->backward_weight(seen, state.saved[index]);
    Steps sums = reduce_window(state, index);
    while (sums.advance()) co_yield sums.reduction();
  }
  parameters.gradients_into(nullptr);
  drop_values();
  drop_untrained(state);
  if (!slice.has_embedding) state.input_gradient = gradient_td;
  inputs_started = true;
  weights_started = weights_started || with_weights;
}

// The sum over micro-batches of one segment's weight gradients.
void StageModel::Impl::make_weights(const std::vector<MicroBatchState*>& micro_batches,
                                    std::size_t segment, WeightPass pass) {
  const bool keeps_saved =
      pass == WeightPass::first && has_turn(parameters, static_cast<int>(segment));
  const bool is_embedding = slice.has_embedding && segment == 0;
  const bool is_in_place = traits.tied_embeddings && slice.has_head;
  if (is_embedding && is_in_place) add_looked_up(stream, parameters, micro_batches);
  bool accumulate = false;
  for (MicroBatchState* state : micro_batches) {
    SegmentContext seen = context(*state);
    seen.again = pass == WeightPass::again;
    seen.accumulate_weight = std::exchange(accumulate, true);
    Saved kept;
    if (keeps_saved) kept = state->saved[segment];
    segments[segment]->backward_weight(seen, state->saved[segment]);
    if (keeps_saved) state->saved[segment] = std::move(kept);
  }
}

Steps StageModel::backward_input(MicroBatchState& state) {
  return impl_->walk_back(state, false);
}
Steps StageModel::backward(MicroBatchState& state) {
  return impl_->walk_back(state, true);
}

Steps StageModel::backward_weight(MicroBatchState& state) {
  SegmentContext seen = impl_->context(state);
  for (std::size_t index = impl_->segments.size(); index-- > impl_->first_trained;) {
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
    const bool is_head = impl.slice.has_head && index + 1 == impl.segments.size();
    impl.make_weights(is_head ? impl.forward_order : micro_batches, index, pass);
    Steps steps = end.end_turn(static_cast<int>(index));
    while (steps.advance()) co_yield steps.reduction();
    if (end.gives_up()) co_return;
  }
  if (last != nullptr) last->input_gradient = gradient_td;
  impl.inputs_started = impl.inputs_started || last != nullptr;
  impl.weights_started = true;
}

}  // namespace collie
