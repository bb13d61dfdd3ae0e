// Final norm, logits and loss. In training the forward pass makes, chunk by chunk in one reused
// buffer, the logits, the loss and both gradients of the projection, so the logits of a micro-batch
// never exist and nothing is computed twice.
// Legend: T tokens, C tokens of a chunk, D hidden, V rows of the vocabulary held here.
#include <algorithm>

#include "kernels/cross_entropy.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/matmul.hpp"
#include "models/decoder.hpp"
#include "models/host_copy.hpp"

namespace collie {

namespace {

constexpr std::int64_t chunk_tokens = 512;

enum Slot : std::size_t { slot_h, slot_rstd, slot_mean, slot_dn, slot_count };

// The buffers of all chunks of one micro-batch.
struct Chunks {
  std::int64_t begin = 0, end = 0;  // tokens of the chunk at hand
  Tensor logits, float_logits;      // [C, V]; float_logits for a user's loss under bf16
  Tensor stats, combined;           // [C, 3]
  std::vector<Tensor> parts;        // every shard's stats
  Tensor losses_t;

  std::int64_t count() const { return end - begin; }
  Tensor of(const Tensor& whole) const { return whole.rows(begin, end); }
  Tensor first(const Tensor& buffer) const { return buffer.rows(0, count()); }
};

class HeadSegment final : public Segment {
 public:
  explicit HeadSegment(const ShardModel& model)
      : model_(model),
        norm_(model, "final_norm"),
        weight_(require_parameter(model.parameters, "head")),
        vocabulary_begin_(model.parameters.specs()[static_cast<std::size_t>(weight_)].row_begin) {}

  Steps forward(SegmentContext& context, Saved& saved, Hidden& hidden) override {
    if (context.mode == Mode::generate) {
      last_logits(context, hidden);
      co_return;
    }
    Norm::Output normed = norm_.forward(context, hidden);
    hidden = Hidden();
    Tensor dn_td;
    if (context.mode == Mode::train) {
      dn_td = context.stream.allocate(normed.y_td.dtype(), normed.y_td.shape());
    }
    Chunks chunks = allocate(context, normed.y_td);
    while (next(chunks, normed.y_td.dim(0))) {
      project(context, chunks, normed.y_td);
      if (model_.slice.tp_size > 1) {
        co_yield gather_over_shards(chunks.stats, chunks.parts);
      }
      finish_chunk(context, chunks, normed.y_td, dn_td);
    }
    context.loss_sum += sum_on_host(context.stream, chunks.losses_t);
    if (context.mode != Mode::train) {
      sum_rows(context, chunks.losses_t);
      co_return;
    }
    saved.slots = {normed.h_td, normed.rstd_t, normed.mean_t, dn_td};
    saved.complete = true;
  }

  Steps backward_input(SegmentContext& context, Saved& saved, Tensor& gradient_td) override {
    std::vector<Tensor>& slots = saved.slots;
    co_yield sum_over_shards(slots[slot_dn]);
    const Norm::Output normed{slots[slot_h], Tensor(), slots[slot_rstd], slots[slot_mean]};
    gradient_td = norm_.backward(context, slots[slot_dn], normed, Tensor());
    slots.clear();
  }

  void backward_weight(SegmentContext&, Saved&) override {}  // made in forward

 private:
  Tensor weight() const { return model_.parameters.compute(weight_); }

  static void sum_rows(SegmentContext& context, const Tensor& losses_t) {
    const std::int64_t sequence = context.batch.sequence;
    for (std::int64_t row = 0; row < context.batch.rows; ++row) {
      context.row_losses.push_back(
          sum_on_host(context.stream, losses_t.rows(row * sequence, (row + 1) * sequence)));
    }
  }

  // Of the logits that exist at a time.
  std::int64_t chunk_size(const SegmentContext& context, std::int64_t tokens) const {
    const std::int64_t rows = model_.options.loss ? model_.options.loss->rows_together() : 0;
    if (rows == 0) return std::min(tokens, chunk_tokens);
    const std::int64_t together = rows * context.batch.sequence;
    return std::min(tokens, std::max<std::int64_t>(1, chunk_tokens / together) * together);
  }

  Chunks allocate(SegmentContext& context, const Tensor& n_td) const {
    Stream& stream = context.stream;
    const std::int64_t tokens = n_td.dim(0);
    const std::int64_t most = chunk_size(context, tokens);
    const std::int64_t local_vocabulary = weight().dim(0);
    Chunks chunks;
    chunks.logits = stream.allocate(n_td.dtype(), {most, local_vocabulary});
    chunks.losses_t = stream.allocate(DType::f32, {tokens});
    if (model_.options.loss) {
      const bool is_f32 = n_td.dtype() == DType::f32;
      chunks.float_logits =
          is_f32 ? chunks.logits : stream.allocate(DType::f32, {most, local_vocabulary});
      return chunks;
    }
    chunks.combined = stream.allocate(DType::f32, {most, 3});
    return chunks;
  }

  static bool next(Chunks& chunks, std::int64_t tokens) {
    chunks.begin = chunks.end;
    chunks.end = std::min(chunks.begin + chunks.logits.dim(0), tokens);
    return chunks.begin < tokens;
  }

  void project(SegmentContext& context, Chunks& chunks, const Tensor& n_td) const {
    Tensor logits = chunks.first(chunks.logits);
    kernels::linear_forward(context.stream, chunks.of(n_td), weight(), Tensor(), logits);
    if (model_.options.loss) return;
    // Anew for every chunk: the other shards may still be reading the one before.
    chunks.stats = context.stream.allocate(DType::f32, {chunks.count(), 3});
    Tensor stats = chunks.stats;
    kernels::cross_entropy_stats(context.stream, logits, chunks.of(context.batch.labels_t),
                                 vocabulary_begin_, stats);
  }

  // From logits (and every shard's statistics) to losses; in training to both gradients as well.
  void finish_chunk(SegmentContext& context, Chunks& chunks, const Tensor& n_td,
                    const Tensor& dn_td) const {
    if (model_.options.loss) {
      apply_loss(context, chunks);
    } else {
      apply_cross_entropy(context, chunks);
    }
    if (context.mode != Mode::train) return;
    Stream& stream = context.stream;
    const Tensor dlogits = chunks.first(chunks.logits);
    Tensor dn_cd = chunks.of(dn_td);
    kernels::linear_backward_input(stream, dlogits, weight(), dn_cd);
    if (!model_.parameters.is_trainable(weight_)) return;
    Tensor dweight = model_.parameters.gradient(weight_);
    Tensor no_bias;
    const bool accumulate = context.accumulate_weight || chunks.begin > 0;
    kernels::linear_backward_weight(stream, dlogits, chunks.of(n_td), dweight, no_bias, accumulate);
  }

  void apply_cross_entropy(SegmentContext& context, Chunks& chunks) const {
    Stream& stream = context.stream;
    const Tensor labels = chunks.of(context.batch.labels_t);
    Tensor losses = chunks.of(chunks.losses_t);
    Tensor stats = chunks.first(chunks.stats);
    if (model_.slice.tp_size > 1) {
      stats = chunks.first(chunks.combined);
      kernels::cross_entropy_combine(stream, chunks.parts, stats);
      chunks.parts.clear();
    }
    if (context.mode == Mode::evaluate) {
      kernels::cross_entropy_losses(stream, labels, stats, losses);
      return;
    }
    Tensor logits = chunks.first(chunks.logits);
    kernels::cross_entropy_backward(stream, logits, labels, vocabulary_begin_, stats,
                                    context.batch.loss_scale, losses);
  }

  void apply_loss(SegmentContext& context, Chunks& chunks) const {
    Stream& stream = context.stream;
    Tensor logits = chunks.first(chunks.logits);
    Tensor float_logits = chunks.first(chunks.float_logits);
    const bool is_cast = logits.dtype() != DType::f32;
    if (is_cast) kernels::cast(stream, logits, float_logits);
    Tensor losses = chunks.of(chunks.losses_t);
    const LossChunk chunk{context.mode == Mode::train, context.batch.first_row, context.batch.rows,
                          context.batch.sequence, chunks.begin};
    model_.options.loss->forward_backward_of(stream, float_logits,
                                             chunks.of(context.batch.labels_t),
                                             context.batch.loss_scale, losses, chunk);
    if (is_cast) kernels::cast(stream, float_logits, logits);
  }

  void last_logits(SegmentContext& context, Hidden& hidden) const {
    Stream& stream = context.stream;
    const std::int64_t tokens = hidden.x_td.dim(0);
    const auto last = [&](const Tensor& all) {
      return all ? all.rows(tokens - 1, tokens) : Tensor();
    };
    const Norm::Output normed = norm_.forward(context, {last(hidden.x_td), last(hidden.delta_td)});
    hidden = Hidden();
    Tensor logits = stream.allocate(normed.y_td.dtype(), {1, weight().dim(0)});
    kernels::linear_forward(stream, normed.y_td, weight(), Tensor(), logits);
    context.logits_tv = logits;
    if (logits.dtype() == DType::f32) return;
    context.logits_tv = stream.allocate(DType::f32, logits.shape());
    kernels::cast(stream, logits, context.logits_tv);
  }

  ShardModel model_;
  Norm norm_;
  int weight_;
  std::int64_t vocabulary_begin_;
};

}  // namespace

std::unique_ptr<Segment> make_head_segment(const ShardModel& model) {
  return std::make_unique<HeadSegment>(model);
}

}  // namespace collie
