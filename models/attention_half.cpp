// The first half of a layer: norm, packed q/k/v, optional q/k norm, rotation, causal attention,
// projection; cut by heads.
#include <cmath>

#include "kernels/matmul.hpp"
#include "models/decoder.hpp"

namespace collie {

namespace {

enum Slot : std::size_t {
  slot_h,
  slot_rstd,
  slot_mean,
  slot_n,
  slot_qkv,
  slot_raw_qk,
  slot_qk_rstd,
  slot_context,
  slot_lse,
  slot_dy,
  slot_count
};

kernels::HeadShape local_heads(const ShardModel& model) {
  const ModelTraits& traits = model.traits;
  const std::int64_t shards = model.slice.tp_size;
  return {traits.head_count / shards, std::max<std::int64_t>(traits.kv_head_count / shards, 1),
          traits.head_dim};
}

class AttentionHalf final : public Segment {
 public:
  AttentionHalf(const ShardModel& model, const std::string& prefix, std::int64_t cache_index)
      : model_(model),
        norm_(model, prefix + "norm"),
        heads_(local_heads(model)),
        qkv_(require_parameter(model.parameters, prefix + "q")),
        qkv_bias_(model.parameters.find(prefix + "q_bias")),
        q_norm_(model.parameters.find(prefix + "q_norm")),
        k_norm_(model.parameters.find(prefix + "k_norm")),
        o_(require_parameter(model.parameters, prefix + "o")),
        o_bias_(model.parameters.find(prefix + "o_bias")),
        cache_index_(static_cast<std::size_t>(cache_index)) {}

  Steps forward(SegmentContext& context, Saved& saved, Hidden& hidden) override {
    std::vector<Tensor> slots = inside(context, hidden);
    hidden = Hidden();
    Tensor partial_td = project_out(context, slots[slot_context]);
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
    for (const Slot done : {slot_h, slot_rstd, slot_mean}) slots[done].reset();
  }

  void backward_weight(SegmentContext& context, Saved& saved) override {
    std::vector<Tensor>& slots = saved.slots;
    Parameters& parameters = model_.parameters;
    Tensor d_o = parameters.gradient(o_);
    Tensor d_o_bias = o_bias_ >= 0 ? parameters.gradient(o_bias_) : Tensor();
    kernels::linear_backward_weight(context.stream, slots[slot_dy], slots[slot_context], d_o,
                                    d_o_bias, context.accumulate_weight);
    slots[slot_dy].reset();
    slots[slot_context].reset();
    Tensor d_qkv = parameters.gradient_rows(qkv_, 3);
    Tensor d_qkv_bias = qkv_bias_ >= 0 ? parameters.gradient_rows(qkv_bias_, 3) : Tensor();
    kernels::linear_backward_weight(context.stream, slots[slot_qkv], slots[slot_n], d_qkv,
                                    d_qkv_bias, context.accumulate_weight);
    slots.clear();
  }

 private:
  bool rotates() const { return model_.traits.positions == PositionKind::rotary; }

  kernels::AttentionShape shape(const MicroBatch& batch) const {
    const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(heads_.head_dim)));
    return {batch.rows, batch.sequence, heads_, scale, model_.traits.attention_window};
  }

  // Everything before the output projection.
  std::vector<Tensor> inside(SegmentContext& context, const Hidden& hidden) {
    std::vector<Tensor> slots(slot_count);
    Norm::Output normed = norm_.forward(context, hidden);
    slots[slot_qkv] = project_in(context, normed.y_td);
    if (q_norm_ >= 0) normalise_heads(context, slots);
    if (rotates()) {
      const kernels::RopeTable& table = model_.rotary.at_least(positions_needed(context));
      kernels::rope_forward(context.stream, slots[slot_qkv], heads_, table,
                            context.batch.positions_t);
    }
    attend(context, slots);
    slots[slot_h] = normed.h_td;
    slots[slot_rstd] = normed.rstd_t;
    slots[slot_mean] = normed.mean_t;
    slots[slot_n] = normed.y_td;
    return slots;
  }

  std::int64_t positions_needed(const SegmentContext& context) const {
    const bool cached = context.mode == Mode::generate;
    return context.batch.sequence + (cached ? (*context.caches)[cache_index_].length : 0);
  }

  Tensor project_in(SegmentContext& context, const Tensor& n_td) const {
    const Tensor weight = model_.parameters.compute_rows(qkv_, 3);
    const Tensor bias = qkv_bias_ >= 0 ? model_.parameters.compute_rows(qkv_bias_, 3) : Tensor();
    Tensor qkv = context.stream.allocate(n_td.dtype(), {n_td.dim(0), weight.dim(0)});
    kernels::linear_forward(context.stream, n_td, weight, bias, qkv);
    return qkv;
  }

  void normalise_heads(SegmentContext& context, std::vector<Tensor>& slots) const {
    Tensor& qkv = slots[slot_qkv];
    const std::int64_t tokens = qkv.dim(0);
    const std::int64_t normed_heads = heads_.heads + heads_.kv_heads;
    slots[slot_raw_qk] =
        context.stream.allocate(qkv.dtype(), {tokens, normed_heads * heads_.head_dim});
    slots[slot_qk_rstd] = context.stream.allocate(DType::f32, {tokens, normed_heads});
    kernels::qk_norm_forward(context.stream, qkv, heads_, model_.parameters.compute(q_norm_),
                             model_.parameters.compute(k_norm_), model_.traits.norm_epsilon,
                             slots[slot_raw_qk], slots[slot_qk_rstd]);
  }

  void attend(SegmentContext& context, std::vector<Tensor>& slots) const {
    const MicroBatch& batch = context.batch;
    const Tensor& qkv = slots[slot_qkv];
    Tensor& out = slots[slot_context];
    out = context.stream.allocate(qkv.dtype(), {qkv.dim(0), heads_.heads * heads_.head_dim});
    if (context.mode == Mode::generate) {
      LayerCache& cache = (*context.caches)[cache_index_];
      kernels::attention_with_cache(context.stream, qkv, shape(batch), cache.cache, cache.length,
                                    out);
      cache.length += batch.sequence;
      return;
    }
    slots[slot_lse] =
        context.stream.allocate(DType::f32, {batch.rows, heads_.heads, batch.sequence});
    kernels::attention_forward(context.stream, qkv, shape(batch), batch.positions_t, out,
                               slots[slot_lse]);
  }

  // The bias enters through the first shard's part, so the sum over shards has it once.
  Tensor project_out(SegmentContext& context, const Tensor& attended) const {
    const bool adds_bias = o_bias_ >= 0 && model_.slice.tp_rank == 0;
    const Tensor weight = model_.parameters.compute(o_);
    const Tensor bias = adds_bias ? model_.parameters.compute(o_bias_) : Tensor();
    Tensor partial_td = context.stream.allocate(attended.dtype(), {attended.dim(0), weight.dim(0)});
    kernels::linear_forward(context.stream, attended, weight, bias, partial_td);
    return partial_td;
  }

  void keep(SegmentContext& context, Saved& saved, std::vector<Tensor> slots) const {
    if (context.mode != Mode::train) return;
    saved.complete = model_.options.recompute == Recompute::none;
    if (!saved.complete) slots.resize(slot_h + 1);
    saved.slots = std::move(slots);
  }

  // The qkv slot turns from values into their gradient, which is all backward_weight needs.
  Tensor backward_inside(SegmentContext& context, std::vector<Tensor>& slots) const {
    Stream& stream = context.stream;
    const Tensor& dy_td = slots[slot_dy];
    Tensor dcontext = stream.allocate(dy_td.dtype(), slots[slot_context].shape());
    kernels::linear_backward_input(stream, dy_td, model_.parameters.compute(o_), dcontext);
    Tensor dqkv = stream.allocate(dy_td.dtype(), slots[slot_qkv].shape());
    kernels::attention_backward(stream, dcontext, slots[slot_qkv], slots[slot_context],
                                slots[slot_lse], shape(context.batch), context.batch.positions_t,
                                dqkv);
    slots[slot_qkv] = dqkv;
    slots[slot_lse].reset();
    if (rotates()) {
      kernels::rope_backward(stream, dqkv, heads_, model_.rotary.at_least(context.batch.sequence),
                             context.batch.positions_t);
    }
    if (q_norm_ >= 0) backward_heads(context, slots);
    Tensor dn_td = stream.allocate(dy_td.dtype(), dy_td.shape());
    kernels::linear_backward_input(stream, dqkv, model_.parameters.compute_rows(qkv_, 3), dn_td);
    return dn_td;
  }

  void backward_heads(SegmentContext& context, std::vector<Tensor>& slots) const {
    Parameters& parameters = model_.parameters;
    Tensor dq_gain = parameters.gradient(q_norm_);
    Tensor dk_gain = parameters.gradient(k_norm_);
    kernels::qk_norm_backward(context.stream, slots[slot_qkv], heads_, parameters.compute(q_norm_),
                              parameters.compute(k_norm_), slots[slot_raw_qk], slots[slot_qk_rstd],
                              dq_gain, dk_gain, context.accumulate_input);
    slots[slot_raw_qk].reset();
    slots[slot_qk_rstd].reset();
  }

  ShardModel model_;
  Norm norm_;
  kernels::HeadShape heads_;  // of this shard
  int qkv_, qkv_bias_;
  int q_norm_, k_norm_;
  int o_, o_bias_;
  std::size_t cache_index_;
};

}  // namespace

std::unique_ptr<Segment> make_attention_half(const ShardModel& model, std::int64_t layer,
                                             std::int64_t cache_index) {
  return std::make_unique<AttentionHalf>(model, fmt::format("layers.{}.attention.", layer),
                                         cache_index);
}

}  // namespace collie
