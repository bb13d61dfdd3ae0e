#include "models/residual_half.hpp"

#include <utility>

namespace collie {

ResidualHalf::ResidualHalf(const ShardModel& model, const std::string& prefix, Linear first,
                           Linear second, Recompute recompute_from, std::size_t slot_count)
    : model_(model),
      norm_(model, prefix + "norm"),
      first_(std::move(first)),
      second_(std::move(second)),
      bottleneck_(model, prefix),
      dropout_(model, prefix + "dropout"),
      recompute_from_(recompute_from),
      slot_count_(slot_count) {}

Steps ResidualHalf::forward(SegmentContext& context, Saved& saved, Hidden& hidden) {
  std::vector<Tensor> slots = inside(context, hidden);
  hidden = Hidden();
  slots[slot_squares] = second_.row_squares(context);
  if (slots[slot_squares]) co_yield sum_over_shards(slots[slot_squares]);
  Tensor partial_td = second_.forward(context, slots[slot_inner], slots[slot_squares]);
  const Tensor h_td = slots[slot_h];
  keep(context, saved, std::move(slots));
  co_yield sum_over_shards(partial_td);
  hidden.x_td = h_td;
  const Tensor dropped_td = dropout_.apply(context, partial_td);
  hidden.delta_td = bottleneck_.forward(context, dropped_td, saved, slot_delta);
}

void ResidualHalf::recompute(SegmentContext& context, Saved& saved) {
  if (!saved.complete) {
    std::vector<Tensor> slots = inside(context, {saved.slots[slot_h], Tensor()});
    slots[slot_squares] = saved.slots[slot_squares];
    slots[slot_delta] = saved.slots[slot_delta];
    saved.slots = std::move(slots);
  }
  saved.complete = true;
}

Steps ResidualHalf::backward_input(SegmentContext& context, Saved& saved, Tensor& gradient_td) {
  recompute(context, saved);
  std::vector<Tensor>& slots = saved.slots;
  slots[slot_dy] =
      dropout_.apply(context, bottleneck_.backward(context, gradient_td, slots[slot_delta]));
  slots[slot_delta].reset();
  Tensor dn_td = backward_inside(context, slots);
  if (dn_td) {
    co_yield sum_over_shards(dn_td);
    const Norm::Output normed{slots[slot_h], Tensor(), slots[slot_rstd], slots[slot_mean]};
    gradient_td = norm_.backward(context, dn_td, normed, gradient_td);
  } else {
    gradient_td.reset();
  }
  for (const Slot done : {slot_h, slot_rstd, slot_mean}) slots[done].reset();
}

void ResidualHalf::backward_weight(SegmentContext& context, Saved& saved) {
  std::vector<Tensor>& slots = saved.slots;
  second_.backward_weight(context, slots[slot_dy], slots[slot_inner], slots[slot_squares]);
  slots[slot_dy].reset();
  slots[slot_inner].reset();
  first_.backward_weight(context, slots[slot_packed], slots[slot_n]);
  slots.clear();
}

// Everything before the second product.
std::vector<Tensor> ResidualHalf::inside(SegmentContext& context, const Hidden& hidden) {
  std::vector<Tensor> slots(slot_count_);
  Norm::Output normed = norm_.forward(context, hidden);
  slots[slot_packed] = first_.forward(context, normed.y_td);
  inner(context, slots);
  slots[slot_h] = normed.h_td;
  slots[slot_rstd] = normed.rstd_t;
  slots[slot_mean] = normed.mean_t;
  slots[slot_n] = normed.y_td;
  return slots;
}

void ResidualHalf::keep(SegmentContext& context, Saved& saved, std::vector<Tensor> slots) const {
  if (context.mode != Mode::train) return;
  saved.complete = !context.keeps_input && model_.options.recompute < recompute_from_;
  if (!saved.complete) {
    slots.resize(slot_h + 1);
  } else {  // the inputs of frozen products are read by nobody
    if (!first_.reads_input()) slots[slot_n].reset();
    if (!second_.reads_input() && !reads_inner()) slots[slot_inner].reset();
  }
  saved.slots = std::move(slots);
}

// The gradient of the norm's output. Where nothing below is trained it is for those trained here
// alone; undefined where there are none.
Tensor ResidualHalf::backward_inside(SegmentContext& context, std::vector<Tensor>& slots) {
  const Tensor dinner =
      second_.backward_input(context, slots[slot_dy], slots[slot_inner], slots[slot_squares]);
  backward_inner(context, slots, dinner);
  const bool is_wanted =
      context.needs_input_gradient || norm_.is_trained() || first_.trains_on_input();
  return is_wanted ? first_.backward_input(context, slots[slot_packed], slots[slot_n]) : Tensor();
}

}  // namespace collie
