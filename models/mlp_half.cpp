// The second half of a layer: norm, then SwiGLU or GELU MLP cut by its width.
#include "kernels/activation.hpp"
#include "models/residual_half.hpp"

namespace collie {

namespace {

// Gate and up, or up alone.
int wide_count(const ShardModel& model) {
  return model.traits.mlp == MlpKind::swiglu ? 2 : 1;
}

class MlpHalf final : public ResidualHalf {
 public:
  MlpHalf(const ShardModel& model, const std::string& prefix)
      : ResidualHalf(model, prefix,
                     Linear(model, prefix + (wide_count(model) == 2 ? "gate" : "up"),
                            wide_count(model), Linear::Cut::output),
                     Linear(model, prefix + "down", 1, Linear::Cut::input), Recompute::full,
                     slot_own) {}

 private:
  void inner(SegmentContext& context, std::vector<Tensor>& slots) override {
    Stream& stream = context.stream;
    const Tensor& wide_tn = slots[slot_packed];
    Tensor& act_tf = slots[slot_inner];
    act_tf =
        stream.allocate(wide_tn.dtype(), {wide_tn.dim(0), wide_tn.dim(1) / wide_count(model())});
    if (model().traits.mlp == MlpKind::swiglu) {
      kernels::swiglu_forward(stream, wide_tn, act_tf);
    } else {
      kernels::gelu_forward(stream, model().traits.gelu, wide_tn, act_tf);
    }
  }

  void backward_inner(SegmentContext& context, std::vector<Tensor>& slots,
                      const Tensor& dact_tf) override {
    Stream& stream = context.stream;
    const Tensor& wide_tn = slots[slot_packed];
    Tensor dwide_tn = stream.allocate(dact_tf.dtype(), wide_tn.shape());
    if (model().traits.mlp == MlpKind::swiglu) {
      kernels::swiglu_backward(stream, dact_tf, wide_tn, dwide_tn);
    } else {
      kernels::gelu_backward(stream, model().traits.gelu, dact_tf, wide_tn, dwide_tn);
    }
    slots[slot_packed] = dwide_tn;
  }

  bool reads_inner() const override { return false; }
};

}  // namespace

std::unique_ptr<Segment> make_mlp_half(const ShardModel& model, std::int64_t layer) {
  return std::make_unique<MlpHalf>(model, fmt::format("layers.{}.mlp.", layer));
}

}  // namespace collie
