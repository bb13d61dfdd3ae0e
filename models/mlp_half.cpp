// The second half of a layer: norm, then SwiGLU or GELU MLP cut by its width.
#include "kernels/activation.hpp"
#include "kernels/matmul.hpp"
#include "models/decoder.hpp"

namespace collie {

namespace {

enum Slot : std::size_t {
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
        wide_(require_parameter(model.parameters, prefix + (wide_count_ == 2 ? "gate" : "up"))),
        wide_bias_(model.parameters.find(prefix + (wide_count_ == 2 ? "gate_bias" : "up_bias"))),
        down_(require_parameter(model.parameters, prefix + "down")),
        down_bias_(model.parameters.find(prefix + "down_bias")) {}

  Steps forward(SegmentContext& context, Saved& saved, Hidden& hidden) override {
    std::vector<Tensor> slots = inside(context, hidden);
    hidden = Hidden();
    Tensor partial_td = project_down(context, slots[slot_act]);
    const Tensor h_td = slots[slot_h];
    keep(context, saved, std::move(slots));
    co_yield sum_over_shards(partial_td);
    hidden.x_td = h_td;
    hidden.delta_td = partial_td;
  }

  Steps backward_input(SegmentContext& context, Saved& saved, Tensor& gradient_td) override {
    if (!saved.complete) saved.slots = inside(context, {saved.slots[slot_h], Tensor()});
    std::vector<Tensor>& slots = saved.slots;
    slots[slot_dy] = gradient_td;
    Tensor dn_td = backward_inside(context, slots);
    co_yield sum_over_shards(dn_td);
    const Norm::Output normed{slots[slot_h], Tensor(), slots[slot_rstd], slots[slot_mean]};
    gradient_td = norm_.backward(context, dn_td, normed, slots[slot_dy]);
    slots[slot_h].reset();
    slots[slot_rstd].reset();
    slots[slot_mean].reset();
  }

  void backward_weight(SegmentContext& context, Saved& saved) override {
    std::vector<Tensor>& slots = saved.slots;
    Parameters& parameters = model_.parameters;
    Tensor ddown = parameters.gradient(down_);
    Tensor ddown_bias = down_bias_ >= 0 ? parameters.gradient(down_bias_) : Tensor();
    kernels::linear_backward_weight(context.stream, slots[slot_dy], slots[slot_act], ddown,
                                    ddown_bias, context.accumulate_weight);
    slots[slot_dy].reset();
    slots[slot_act].reset();
    Tensor dwide = parameters.gradient_rows(wide_, wide_count_);
    Tensor dwide_bias =
        wide_bias_ >= 0 ? parameters.gradient_rows(wide_bias_, wide_count_) : Tensor();
    kernels::linear_backward_weight(context.stream, slots[slot_wide], slots[slot_n], dwide,
                                    dwide_bias, context.accumulate_weight);
    slots.clear();
  }

 private:
  // Everything before the projection down.
  std::vector<Tensor> inside(SegmentContext& context, const Hidden& hidden) const {
    Stream& stream = context.stream;
    Norm::Output normed = norm_.forward(context, hidden);
    const Tensor weight = model_.parameters.compute_rows(wide_, wide_count_);
    const Tensor bias =
        wide_bias_ >= 0 ? model_.parameters.compute_rows(wide_bias_, wide_count_) : Tensor();
    const std::int64_t tokens = normed.y_td.dim(0);
    const DType dtype = normed.y_td.dtype();
    Tensor wide_tn = stream.allocate(dtype, {tokens, weight.dim(0)});
    kernels::linear_forward(stream, normed.y_td, weight, bias, wide_tn);
    Tensor act_tf = stream.allocate(dtype, {tokens, weight.dim(0) / wide_count_});
    if (model_.traits.mlp == MlpKind::swiglu) {
      kernels::swiglu_forward(stream, wide_tn, act_tf);
    } else {
      kernels::gelu_forward(stream, model_.traits.gelu, wide_tn, act_tf);
    }
    return {normed.h_td, normed.rstd_t, normed.mean_t, normed.y_td, wide_tn, act_tf, Tensor()};
  }

  // The bias enters through the first shard's part, so the sum over shards has it once.
  Tensor project_down(SegmentContext& context, const Tensor& act_tf) const {
    const bool adds_bias = down_bias_ >= 0 && model_.slice.tp_rank == 0;
    const Tensor weight = model_.parameters.compute(down_);
    const Tensor bias = adds_bias ? model_.parameters.compute(down_bias_) : Tensor();
    Tensor partial_td = context.stream.allocate(act_tf.dtype(), {act_tf.dim(0), weight.dim(0)});
    kernels::linear_forward(context.stream, act_tf, weight, bias, partial_td);
    return partial_td;
  }

  void keep(SegmentContext& context, Saved& saved, std::vector<Tensor> slots) const {
    if (context.mode != Mode::train) return;
    saved.complete = model_.options.recompute != Recompute::full;
    if (!saved.complete) slots.resize(slot_h + 1);
    saved.slots = std::move(slots);
  }

  // The wide slot turns from values into their gradient, which is all backward_weight needs.
  Tensor backward_inside(SegmentContext& context, std::vector<Tensor>& slots) const {
    Stream& stream = context.stream;
    const Tensor& dy_td = slots[slot_dy];
    Tensor dact_tf = stream.allocate(dy_td.dtype(), slots[slot_act].shape());
    kernels::linear_backward_input(stream, dy_td, model_.parameters.compute(down_), dact_tf);
    Tensor dwide_tn = stream.allocate(dy_td.dtype(), slots[slot_wide].shape());
    if (model_.traits.mlp == MlpKind::swiglu) {
      kernels::swiglu_backward(stream, dact_tf, slots[slot_wide], dwide_tn);
    } else {
      kernels::gelu_backward(stream, model_.traits.gelu, dact_tf, slots[slot_wide], dwide_tn);
    }
    slots[slot_wide] = dwide_tn;
    Tensor dn_td = stream.allocate(dy_td.dtype(), dy_td.shape());
    kernels::linear_backward_input(stream, dwide_tn,
                                   model_.parameters.compute_rows(wide_, wide_count_), dn_td);
    return dn_td;
  }

  ShardModel model_;
  Norm norm_;
  int wide_count_;  // gate and up, or up alone
  int wide_, wide_bias_;
  int down_, down_bias_;
};

}  // namespace

std::unique_ptr<Segment> make_mlp_half(const ShardModel& model, std::int64_t layer) {
  return std::make_unique<MlpHalf>(model, fmt::format("layers.{}.mlp.", layer));
}

}  // namespace collie
