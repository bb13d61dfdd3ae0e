// The second half of a layer: norm, then SwiGLU or GELU MLP cut by its width.
#include "kernels/activation.hpp"
#include "models/decoder.hpp"
#include "models/linear.hpp"
#include "models/peft/bottleneck.hpp"

namespace collie {

namespace {

enum Slot : std::size_t {
  slot_squares,  // DoRA's, of the last product; it and the next: kept even where all is recomputed
  slot_delta,    // what went into the bottleneck
  slot_h,
  slot_rstd,
  slot_mean,
  slot_n,
  slot_wide,
  slot_act,
  slot_dy,
  slot_count
};

class MlpHalf final : public Segment {
 public:
  MlpHalf(const ShardModel& model, const std::string& prefix)
      : model_(model),
        norm_(model, prefix + "norm"),
        wide_count_(model.traits.mlp == MlpKind::swiglu ? 2 : 1),
        wide_(model, prefix + (wide_count_ == 2 ? "gate" : "up"), wide_count_, Linear::Cut::output),
        down_(model, prefix + "down", 1, Linear::Cut::input),
        bottleneck_(model, prefix) {}

  Steps forward(SegmentContext& context, Saved& saved, Hidden& hidden) override {
    std::vector<Tensor> slots = inside(context, hidden);
    hidden = Hidden();
    slots[slot_squares] = down_.row_squares(context);
    if (slots[slot_squares]) co_yield sum_over_shards(slots[slot_squares]);
    Tensor partial_td = down_.forward(context, slots[slot_act], slots[slot_squares]);
    const Tensor h_td = slots[slot_h];
    keep(context, saved, std::move(slots));
    co_yield sum_over_shards(partial_td);
    hidden.x_td = h_td;
    hidden.delta_td = bottleneck_.forward(context, partial_td, saved, slot_delta);
  }

  void recompute(SegmentContext& context, Saved& saved) override {
    if (!saved.complete) {
      std::vector<Tensor> slots = inside(context, {saved.slots[slot_h], Tensor()});
      slots[slot_squares] = saved.slots[slot_squares];
      slots[slot_delta] = saved.slots[slot_delta];
      saved.slots = std::move(slots);
    }
    saved.complete = true;
  }

  Steps backward_input(SegmentContext& context, Saved& saved, Tensor& gradient_td) override {
    recompute(context, saved);
    std::vector<Tensor>& slots = saved.slots;
    slots[slot_dy] = bottleneck_.backward(context, gradient_td, slots[slot_delta]);
    slots[slot_delta].reset();
    Tensor dn_td = backward_inside(context, slots);
    co_yield sum_over_shards(dn_td);
    const Norm::Output normed{slots[slot_h], Tensor(), slots[slot_rstd], slots[slot_mean]};
    gradient_td = norm_.backward(context, dn_td, normed, gradient_td);
    slots[slot_h].reset();
    slots[slot_rstd].reset();
    slots[slot_mean].reset();
  }

  void backward_weight(SegmentContext& context, Saved& saved) override {
    std::vector<Tensor>& slots = saved.slots;
    down_.backward_weight(context, slots[slot_dy], slots[slot_act], slots[slot_squares]);
    slots[slot_dy].reset();
    slots[slot_act].reset();
    wide_.backward_weight(context, slots[slot_wide], slots[slot_n]);
    slots.clear();
  }

 private:
  // Everything before the projection down.
  std::vector<Tensor> inside(SegmentContext& context, const Hidden& hidden) const {
    Stream& stream = context.stream;
    Norm::Output normed = norm_.forward(context, hidden);
    Tensor wide_tn = wide_.forward(context, normed.y_td);
    Tensor act_tf =
        stream.allocate(wide_tn.dtype(), {wide_tn.dim(0), wide_tn.dim(1) / wide_count_});
    if (model_.traits.mlp == MlpKind::swiglu) {
      kernels::swiglu_forward(stream, wide_tn, act_tf);
    } else {
      kernels::gelu_forward(stream, model_.traits.gelu, wide_tn, act_tf);
    }
    return {Tensor(),    Tensor(), normed.h_td, normed.rstd_t, normed.mean_t,
            normed.y_td, wide_tn,  act_tf,      Tensor()};
  }

  void keep(SegmentContext& context, Saved& saved, std::vector<Tensor> slots) const {
    if (context.mode != Mode::train) return;
    saved.complete = !context.keeps_input && model_.options.recompute != Recompute::full;
    if (!saved.complete) slots.resize(slot_h + 1);
    saved.slots = std::move(slots);
  }

  // The wide slot turns from values into their gradient, which is all backward_weight needs.
  Tensor backward_inside(SegmentContext& context, std::vector<Tensor>& slots) const {
    Stream& stream = context.stream;
    const Tensor& dy_td = slots[slot_dy];
    const Tensor dact_tf =
        down_.backward_input(context, dy_td, slots[slot_act], slots[slot_squares]);
    Tensor dwide_tn = stream.allocate(dy_td.dtype(), slots[slot_wide].shape());
    if (model_.traits.mlp == MlpKind::swiglu) {
      kernels::swiglu_backward(stream, dact_tf, slots[slot_wide], dwide_tn);
    } else {
      kernels::gelu_backward(stream, model_.traits.gelu, dact_tf, slots[slot_wide], dwide_tn);
    }
    slots[slot_wide] = dwide_tn;
    return wide_.backward_input(context, dwide_tn, slots[slot_n]);
  }

  ShardModel model_;
  Norm norm_;
  int wide_count_;  // gate and up, or up alone
  Linear wide_, down_;
  Bottleneck bottleneck_;
};

}  // namespace

std::unique_ptr<Segment> make_mlp_half(const ShardModel& model, std::int64_t layer) {
  return std::make_unique<MlpHalf>(model, fmt::format("layers.{}.mlp.", layer));
}

}  // namespace collie
