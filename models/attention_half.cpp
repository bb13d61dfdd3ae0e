// The first half of a layer: norm, packed q/k/v, optional q/k norm, rotation, causal attention,
// projection; cut by heads.
#include <algorithm>
#include <cmath>

#include "kernels/virtual_tokens.hpp"
#include "models/residual_half.hpp"

namespace collie {

namespace {

kernels::HeadShape local_heads(const ShardModel& model) {
  const ModelTraits& traits = model.traits;
  const std::int64_t shards = model.slice.tp_size;
  return {traits.head_count / shards, std::max<std::int64_t>(traits.kv_head_count / shards, 1),
          traits.head_dim};
}

class AttentionHalf final : public ResidualHalf {
 public:
  AttentionHalf(const ShardModel& model, const std::string& prefix, std::int64_t cache_index)
      : ResidualHalf(model, prefix, Linear(model, prefix + "q", 3, Linear::Cut::output),
                     Linear(model, prefix + "o", 1, Linear::Cut::input), Recompute::attention,
                     slot_count),
        heads_(local_heads(model)),
        q_norm_(model.parameters.find(prefix + "q_norm")),
        k_norm_(model.parameters.find(prefix + "k_norm")),
        prefix_k_(model.parameters.find(prefix + "prefix_k")),
        prefix_v_(model.parameters.find(prefix + "prefix_v")),
        cache_index_(static_cast<std::size_t>(cache_index)) {}

 private:
  enum OwnSlot : std::size_t { slot_raw_qk = slot_own, slot_qk_rstd, slot_lse, slot_count };

  bool rotates() const { return model().traits.positions == PositionKind::rotary; }

  kernels::AttentionShape shape(const MicroBatch& batch) const {
    const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(heads_.head_dim)));
    return {batch.rows, batch.sequence, heads_, scale, model().traits.attention_window};
  }

  void inner(SegmentContext& context, std::vector<Tensor>& slots) override {
    if (q_norm_ >= 0) normalise_heads(context, slots);
    if (rotates()) {
      const kernels::RopeTable& table = model().rotary.at_least(positions_needed(context));
      kernels::rope_forward(context.stream, slots[slot_packed], heads_, table,
                            context.batch.positions_t);
    }
    if (prefix_k_ >= 0) place_prefix(context, slots[slot_packed]);
    attend(context, slots);
  }

  void backward_inner(SegmentContext& context, std::vector<Tensor>& slots,
                      const Tensor& dcontext) override {
    Stream& stream = context.stream;
    Tensor dqkv = stream.allocate(dcontext.dtype(), slots[slot_packed].shape());
    attend_back(context, slots, dcontext, dqkv);
    if (prefix_k_ >= 0) backward_prefix(context, dqkv);
    slots[slot_packed] = dqkv;
    slots[slot_lse].reset();
    if (rotates()) {
      kernels::rope_backward(stream, dqkv, heads_,
                             model().rotary.at_least(positions_needed(context)),
                             context.batch.positions_t);
    }
    if (q_norm_ >= 0) backward_heads(context, slots);
  }

  bool reads_inner() const override { return true; }

  std::int64_t positions_needed(const SegmentContext& context) const {
    const bool cached = context.mode == Mode::generate;
    std::int64_t before = 0;
    for (std::int64_t row = 0; cached && row < context.batch.rows; ++row) {
      before = std::max(before, cache_of(context, row).length);
    }
    return context.batch.slice.begin + context.batch.sequence + before;
  }

  // One row's caches of all layers of the stage stand together.
  LayerCache& cache_of(const SegmentContext& context, std::int64_t row) const {
    const std::size_t layers =
        context.caches->size() / static_cast<std::size_t>(context.batch.rows);
    return (*context.caches)[static_cast<std::size_t>(row) * layers + cache_index_];
  }

  // Each row has a cache, and a length, of its own.
  void attend_with_caches(SegmentContext& context, const Tensor& qkv, Tensor& out) const {
    const MicroBatch& batch = context.batch;
    kernels::AttentionShape one_row = shape(batch);
    one_row.batch = 1;
    for (std::int64_t row = 0; row < batch.rows; ++row) {
      LayerCache& cache = cache_of(context, row);
      const std::int64_t begin = row * batch.sequence;
      Tensor out_row = out.rows(begin, begin + batch.sequence);
      kernels::attention_with_cache(context.stream, qkv.rows(begin, begin + batch.sequence),
                                    one_row, cache.cache, cache.length, out_row);
      cache.length += batch.sequence;
    }
  }

  // Prefix tuning (Li & Liang 2021): trained keys and values, not rotated, in place of those of the
  // virtual tokens before each document, which nobody sees otherwise.
  void place_prefix(SegmentContext& context, Tensor& qkv) const {
    const Tensor& positions_t = context.batch.positions_t;
    kernels::place_prefix(context.stream, model().parameters.compute(prefix_k_), positions_t,
                          key_column(), qkv);
    kernels::place_prefix(context.stream, model().parameters.compute(prefix_v_), positions_t,
                          key_column() + heads_.kv_heads * heads_.head_dim, qkv);
  }

  void backward_prefix(SegmentContext& context, Tensor& dqkv) const {
    const Tensor& positions_t = context.batch.positions_t;
    Tensor dkeys = model().parameters.gradient(prefix_k_);
    Tensor dvalues = model().parameters.gradient(prefix_v_);
    kernels::take_prefix_gradient(context.stream, positions_t, key_column(), dqkv, dkeys,
                                  context.accumulate_input);
    kernels::take_prefix_gradient(context.stream, positions_t,
                                  key_column() + heads_.kv_heads * heads_.head_dim, dqkv, dvalues,
                                  context.accumulate_input);
  }

  std::int64_t key_column() const { return heads_.heads * heads_.head_dim; }

  void normalise_heads(SegmentContext& context, std::vector<Tensor>& slots) const {
    Tensor& qkv = slots[slot_packed];
    const std::int64_t tokens = qkv.dim(0);
    const std::int64_t normed_heads = heads_.heads + heads_.kv_heads;
    slots[slot_raw_qk] =
        context.stream.allocate(qkv.dtype(), {tokens, normed_heads * heads_.head_dim});
    slots[slot_qk_rstd] = context.stream.allocate(DType::f32, {tokens, normed_heads});
    kernels::qk_norm_forward(context.stream, qkv, heads_, model().parameters.compute(q_norm_),
                             model().parameters.compute(k_norm_), model().traits.norm_epsilon,
                             slots[slot_raw_qk], slots[slot_qk_rstd]);
  }

  void attend(SegmentContext& context, std::vector<Tensor>& slots) const {
    const MicroBatch& batch = context.batch;
    const Tensor& qkv = slots[slot_packed];
    Tensor& out = slots[slot_inner];
    out = context.stream.allocate(qkv.dtype(), {qkv.dim(0), heads_.heads * heads_.head_dim});
    if (context.mode == Mode::generate) return attend_with_caches(context, qkv, out);
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
    if (!cache.kv) cache.kv = allocate_slice_cache(context, slots[slot_packed].dtype());
    kernels::attention_slice_forward(context.stream, slots[slot_packed], shape(batch),
                                     batch.slice.begin, batch.positions_t, cache.kv,
                                     slots[slot_inner], slots[slot_lse]);
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
      kernels::attention_backward(context.stream, dcontext, slots[slot_packed], slots[slot_inner],
                                  slots[slot_lse], shape(batch), batch.positions_t, dqkv);
      return;
    }
    SliceCache& cache = (*context.slices)[cache_index_];
    if (!cache.dkv) cache.dkv = allocate_slice_cache(context, DType::f32);
    kernels::attention_slice_backward(
        context.stream, dcontext, slots[slot_packed], slots[slot_inner], slots[slot_lse],
        shape(batch), batch.slice.begin, batch.positions_t, cache.kv, cache.dkv, dqkv);
    if (batch.slice.index == 0) cache = SliceCache();
  }

  void backward_heads(SegmentContext& context, std::vector<Tensor>& slots) const {
    Parameters& parameters = model().parameters;
    Tensor dq_gain = gradient_or_scratch(context, parameters, q_norm_);
    Tensor dk_gain = gradient_or_scratch(context, parameters, k_norm_);
    kernels::qk_norm_backward(context.stream, slots[slot_packed], heads_,
                              parameters.compute(q_norm_), parameters.compute(k_norm_),
                              slots[slot_raw_qk], slots[slot_qk_rstd], dq_gain, dk_gain,
                              context.accumulate_input);
    slots[slot_raw_qk].reset();
    slots[slot_qk_rstd].reset();
  }

  kernels::HeadShape heads_;  // of this shard
  int q_norm_, k_norm_;
  int prefix_k_, prefix_v_;
  std::size_t cache_index_;
};

}  // namespace

std::unique_ptr<Segment> make_attention_half(const ShardModel& model, std::int64_t layer,
                                             std::int64_t cache_index) {
  return std::make_unique<AttentionHalf>(model, fmt::format("layers.{}.attention.", layer),
                                         cache_index);
}

}  // namespace collie
