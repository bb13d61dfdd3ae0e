// The first half of a layer: norm, packed q/k/v, optional q/k norm, rotation, causal attention,
// projection; cut by heads.
#include <cmath>

#include "kernels/virtual_tokens.hpp"
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
        qkv_(model, prefix + "q", 3, Linear::Cut::output),
        q_norm_(model.parameters.find(prefix + "q_norm")),
        k_norm_(model.parameters.find(prefix + "k_norm")),
        prefix_k_(model.parameters.find(prefix + "prefix_k")),
        prefix_v_(model.parameters.find(prefix + "prefix_v")),
        o_(model, prefix + "o", 1, Linear::Cut::input),
        bottleneck_(model, prefix),
        cache_index_(static_cast<std::size_t>(cache_index)) {}

  Steps forward(SegmentContext& context, Saved& saved, Hidden& hidden) override {
    std::vector<Tensor> slots = inside(context, hidden);
    hidden = Hidden();
    slots[slot_squares] = o_.row_squares(context);
    if (slots[slot_squares]) co_yield sum_over_shards(slots[slot_squares]);
    Tensor partial_td = o_.forward(context, slots[slot_context], slots[slot_squares]);
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
    for (const Slot done : {slot_h, slot_rstd, slot_mean}) slots[done].reset();
  }

  void backward_weight(SegmentContext& context, Saved& saved) override {
    std::vector<Tensor>& slots = saved.slots;
    o_.backward_weight(context, slots[slot_dy], slots[slot_context], slots[slot_squares]);
    slots[slot_dy].reset();
    slots[slot_context].reset();
    qkv_.backward_weight(context, slots[slot_qkv], slots[slot_n]);
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
    slots[slot_qkv] = qkv_.forward(context, normed.y_td);
    if (q_norm_ >= 0) normalise_heads(context, slots);
    if (rotates()) {
      const kernels::RopeTable& table = model_.rotary.at_least(positions_needed(context));
      kernels::rope_forward(context.stream, slots[slot_qkv], heads_, table,
                            context.batch.positions_t);
    }
    if (prefix_k_ >= 0) place_prefix(context, slots[slot_qkv]);
    attend(context, slots);
    slots[slot_h] = normed.h_td;
    slots[slot_rstd] = normed.rstd_t;
    slots[slot_mean] = normed.mean_t;
    slots[slot_n] = normed.y_td;
    return slots;
  }

  std::int64_t positions_needed(const SegmentContext& context) const {
    const bool cached = context.mode == Mode::generate;
    return context.batch.slice.begin + context.batch.sequence +
           (cached ? (*context.caches)[cache_index_].length : 0);
  }

  // Prefix tuning (Li & Liang 2021): trained keys and values, not rotated, in place of those of the
  // virtual tokens before each document, which nobody sees otherwise.
  void place_prefix(SegmentContext& context, Tensor& qkv) const {
    const Tensor& positions_t = context.batch.positions_t;
    kernels::place_prefix(context.stream, model_.parameters.compute(prefix_k_), positions_t,
                          key_column(), qkv);
    kernels::place_prefix(context.stream, model_.parameters.compute(prefix_v_), positions_t,
                          key_column() + heads_.kv_heads * heads_.head_dim, qkv);
  }

  void backward_prefix(SegmentContext& context, Tensor& dqkv) const {
    const Tensor& positions_t = context.batch.positions_t;
    Tensor dkeys = model_.parameters.gradient(prefix_k_);
    Tensor dvalues = model_.parameters.gradient(prefix_v_);
    kernels::take_prefix_gradient(context.stream, positions_t, key_column(), dqkv, dkeys,
                                  context.accumulate_input);
    kernels::take_prefix_gradient(context.stream, positions_t,
                                  key_column() + heads_.kv_heads * heads_.head_dim, dqkv, dvalues,
                                  context.accumulate_input);
  }

  std::int64_t key_column() const { return heads_.heads * heads_.head_dim; }

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
    if (context.slices != nullptr) return attend_in_slices(context, slots);
    kernels::attention_forward(context.stream, qkv, shape(batch), batch.positions_t, out,
                               slots[slot_lse]);
  }

  // Keys and values of the slices before this one stand in the cache; run again (recompute), it
  // writes the same of its own.
  void attend_in_slices(SegmentContext& context, std::vector<Tensor>& slots) const {
    const MicroBatch& batch = context.batch;
    SliceCache& cache = (*context.slices)[cache_index_];
    if (!cache.kv) cache.kv = allocate_slice_cache(context, slots[slot_qkv].dtype());
    kernels::attention_slice_forward(context.stream, slots[slot_qkv], shape(batch),
                                     batch.slice.begin, batch.positions_t, cache.kv,
                                     slots[slot_context], slots[slot_lse]);
  }

  Tensor allocate_slice_cache(SegmentContext& context, DType dtype) const {
    const MicroBatch& batch = context.batch;
    return context.stream.allocate(
        dtype, {batch.rows * batch.slice.whole, 2 * heads_.kv_heads * heads_.head_dim});
  }

  void attend_back(SegmentContext& context, const std::vector<Tensor>& slots,
                   const Tensor& dcontext, Tensor& dqkv) const {
    const MicroBatch& batch = context.batch;
    if (context.slices == nullptr) {
      kernels::attention_backward(context.stream, dcontext, slots[slot_qkv], slots[slot_context],
                                  slots[slot_lse], shape(batch), batch.positions_t, dqkv);
      return;
    }
    SliceCache& cache = (*context.slices)[cache_index_];
    if (!cache.dkv) cache.dkv = allocate_slice_cache(context, DType::f32);
    kernels::attention_slice_backward(
        context.stream, dcontext, slots[slot_qkv], slots[slot_context], slots[slot_lse],
        shape(batch), batch.slice.begin, batch.positions_t, cache.kv, cache.dkv, dqkv);
    if (batch.slice.index == 0) cache = SliceCache();
  }

  void keep(SegmentContext& context, Saved& saved, std::vector<Tensor> slots) const {
    if (context.mode != Mode::train) return;
    saved.complete = !context.keeps_input && model_.options.recompute == Recompute::none;
    if (!saved.complete) slots.resize(slot_h + 1);
    saved.slots = std::move(slots);
  }

  // The qkv slot turns from values into their gradient, which is all backward_weight needs.
  Tensor backward_inside(SegmentContext& context, std::vector<Tensor>& slots) const {
    Stream& stream = context.stream;
    const Tensor& dy_td = slots[slot_dy];
    const Tensor dcontext =
        o_.backward_input(context, dy_td, slots[slot_context], slots[slot_squares]);
    Tensor dqkv = stream.allocate(dy_td.dtype(), slots[slot_qkv].shape());
    attend_back(context, slots, dcontext, dqkv);
    if (prefix_k_ >= 0) backward_prefix(context, dqkv);
    slots[slot_qkv] = dqkv;
    slots[slot_lse].reset();
    if (rotates()) {
      kernels::rope_backward(stream, dqkv, heads_,
                             model_.rotary.at_least(positions_needed(context)),
                             context.batch.positions_t);
    }
    if (q_norm_ >= 0) backward_heads(context, slots);
    return qkv_.backward_input(context, dqkv, slots[slot_n]);
  }

  void backward_heads(SegmentContext& context, std::vector<Tensor>& slots) const {
    Parameters& parameters = model_.parameters;
    Tensor dq_gain = gradient_or_scratch(context, parameters, q_norm_);
    Tensor dk_gain = gradient_or_scratch(context, parameters, k_norm_);
    kernels::qk_norm_backward(context.stream, slots[slot_qkv], heads_, parameters.compute(q_norm_),
                              parameters.compute(k_norm_), slots[slot_raw_qk], slots[slot_qk_rstd],
                              dq_gain, dk_gain, context.accumulate_input);
    slots[slot_raw_qk].reset();
    slots[slot_qk_rstd].reset();
  }

  ShardModel model_;
  Norm norm_;
  kernels::HeadShape heads_;  // of this shard
  Linear qkv_;
  int q_norm_, k_norm_;
  int prefix_k_, prefix_v_;
  Linear o_;
  Bottleneck bottleneck_;
  std::size_t cache_index_;
};

}  // namespace

std::unique_ptr<Segment> make_attention_half(const ShardModel& model, std::int64_t layer,
                                             std::int64_t cache_index) {
  return std::make_unique<AttentionHalf>(model, fmt::format("layers.{}.attention.", layer),
                                         cache_index);
}

}  // namespace collie
