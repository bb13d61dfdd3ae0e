// Final norm, logits and loss. In training the forward pass makes, chunk by chunk in one reused
// buffer, the logits, the loss and both gradients of the projection, so the logits of a micro-batch
// never exist and nothing is computed twice.
// Legend: T tokens, C tokens of a chunk, D hidden, V rows of the vocabulary held here.
#include <algorithm>

#include "kernels/cross_entropy.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/matmul.hpp"
#include "models/decoder.hpp"
#include "models/head_chunks.hpp"
#include "models/host_copy.hpp"
#include "models/peft/lora.hpp"

namespace collie {

namespace {

constexpr std::int64_t chunk_tokens = 512;

enum Slot : std::size_t { slot_h, slot_rstd, slot_mean, slot_dn, slot_n, slot_stats };

class HeadSegment final : public Segment {
 public:
  explicit HeadSegment(const ShardModel& model)
      : model_(model),
        norm_(model, "final_norm"),
        weight_(require_parameter(model.parameters, "head")),
        lora_(model, weight_, 1),
        vocabulary_begin_(model.parameters.specs()[static_cast<std::size_t>(weight_)].row_begin) {}

  Steps forward(SegmentContext& context, Saved& saved, Hidden& hidden) override {
    if (context.mode == Mode::generate) {
      last_logits(context, hidden);
      if (model_.slice.tp_size == 1) co_return;
      std::vector<Tensor> parts;
      co_yield gather_at_shard(0, context.logits_tv, parts);
      join_logits(context, parts);
      co_return;
    }
    Norm::Output normed = norm_.forward(context, hidden);
    hidden = Hidden();
    Tensor dn_td;
    if (context.mode == Mode::train) {
      dn_td = context.stream.allocate(normed.y_td.dtype(), normed.y_td.shape());
    }
    HeadChunks chunks = allocate(context, normed.y_td);
    begin_lora(context, chunks, normed.y_td);
    while (next(chunks, normed.y_td.dim(0))) {
      project(context, chunks, normed.y_td);
      if (context.batch.label_draw) {
        COLLIE_CHECK(!model_.options.loss, "a loss of one's own has no labels to draw");
        draw_labels(context, chunks, vocabulary_begin_);
        if (model_.slice.tp_size > 1) {
          co_yield gather_over_shards(chunks.draws, chunks.draw_parts);
        }
        choose_labels(context, chunks);
      }
      measure(context, chunks);
      if (model_.slice.tp_size > 1) {
        co_yield gather_over_shards(chunks.stats, chunks.parts);
      }
      finish_chunk(context, chunks, normed.y_td, dn_td);
    }
    if (chunks.dseen_td) lora_.add_through_mask(context, chunks.dseen_td, dn_td);
    context.loss_sum += sum_on_host(context.stream, chunks.losses_t);
    if (context.mode != Mode::train) {
      sum_rows(context, chunks.losses_t);
      co_return;
    }
    saved.slots = {normed.h_td, normed.rstd_t, normed.mean_t, dn_td};
    if (makes_weight_again()) {
      saved.slots.push_back(normed.y_td);
      saved.slots.push_back(chunks.all_stats);
    }
    saved.complete = true;
  }

  Steps backward_input(SegmentContext& context, Saved& saved, Tensor& gradient_td) override {
    std::vector<Tensor>& slots = saved.slots;
    co_yield sum_over_shards(slots[slot_dn]);
    const Norm::Output normed{slots[slot_h], Tensor(), slots[slot_rstd], slots[slot_mean]};
    gradient_td = norm_.backward(context, slots[slot_dn], normed, Tensor());
    if (!makes_weight_again()) {
      slots.clear();
      co_return;
    }
    for (const Slot done : {slot_h, slot_rstd, slot_mean, slot_dn}) slots[done].reset();
  }

  // Made in forward, and anew where a second pass asks for it, from the same numbers.
  void backward_weight(SegmentContext& context, Saved& saved) override {
    if (!context.again) return;
    const Tensor n_td = saved.slots[slot_n];
    HeadChunks chunks = allocate(context, n_td);
    chunks.all_stats = saved.slots[slot_stats];
    while (next(chunks, n_td.dim(0))) {
      project(context, chunks, n_td);
      if (model_.options.loss) {
        apply_loss(context, chunks);
      } else {
        make_dlogits(context, chunks, chunks.of(chunks.all_stats));
      }
      add_weight_gradient(context, chunks, n_td);
    }
    saved.slots.clear();
  }

 private:
  Tensor weight() const { return model_.parameters.compute(weight_); }
  bool makes_weight_again() const {
    return model_.options.update_in_backward == UpdateInBackward::two_pass &&
           model_.parameters.is_in_turn(weight_);
  }

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

  HeadChunks allocate(SegmentContext& context, const Tensor& n_td) const {
    Stream& stream = context.stream;
    const std::int64_t tokens = n_td.dim(0);
    const std::int64_t most = chunk_size(context, tokens);
    const std::int64_t local_vocabulary = weight().dim(0);
    HeadChunks chunks;
    chunks.logits = stream.allocate(n_td.dtype(), {most, local_vocabulary});
    chunks.losses_t = stream.allocate(DType::f32, {tokens});
    if (model_.options.loss) {
      const bool is_f32 = n_td.dtype() == DType::f32;
      chunks.float_logits =
          is_f32 ? chunks.logits : stream.allocate(DType::f32, {most, local_vocabulary});
      return chunks;
    }
    chunks.combined = stream.allocate(DType::f32, {most, 3});
    const bool keeps_stats = makes_weight_again() && context.mode == Mode::train && !context.again;
    if (keeps_stats) chunks.all_stats = stream.allocate(DType::f32, {tokens, 3});
    return chunks;
  }

  static bool next(HeadChunks& chunks, std::int64_t tokens) {
    chunks.begin = chunks.end;
    chunks.end = std::min(chunks.begin + chunks.logits.dim(0), tokens);
    return chunks.begin < tokens;
  }

  void project(SegmentContext& context, HeadChunks& chunks, const Tensor& n_td) const {
    Tensor logits = chunks.first(chunks.logits);
    kernels::linear_forward(context.stream, chunks.of(n_td), weight(), Tensor(), logits);
    if (!lora_.empty()) lora_.add_forward_seen(context, chunks.of(chunks.seen_td), logits);
    chunks.labels = chunks.of(context.batch.labels_t);
  }

  void begin_lora(SegmentContext& context, HeadChunks& chunks, const Tensor& n_td) const {
    if (lora_.empty()) return;
    chunks.seen_td = lora_.dropped(context, n_td);
    if (!lora_.drops(context)) return;
    chunks.dseen_td = context.stream.allocate(n_td.dtype(), n_td.shape());
  }

  void backward_lora(SegmentContext& context, const HeadChunks& chunks, const Tensor& dlogits,
                     Tensor& dn_cd) const {
    Tensor dseen_cd = chunks.dseen_td ? chunks.of(chunks.dseen_td) : dn_cd;
    lora_.backward_seen(context, dlogits, dseen_cd, !chunks.dseen_td);
    lora_.backward_weight_seen(context, dlogits, chunks.of(chunks.seen_td),
                               context.accumulate_weight || chunks.begin > 0);
  }

  void measure(SegmentContext& context, HeadChunks& chunks) const {
    if (model_.options.loss) return;
    // Anew for every chunk: the other shards may still be reading the one before.
    chunks.stats = context.stream.allocate(DType::f32, {chunks.count(), 3});
    Tensor stats = chunks.stats;
    kernels::cross_entropy_stats(context.stream, chunks.first(chunks.logits), chunks.labels,
                                 vocabulary_begin_, stats);
  }

  // From logits (and every shard's statistics) to losses; in training to both gradients as well.
  void finish_chunk(SegmentContext& context, HeadChunks& chunks, const Tensor& n_td,
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
    if (!lora_.empty()) backward_lora(context, chunks, dlogits, dn_cd);
    if (model_.parameters.is_trainable(weight_)) add_weight_gradient(context, chunks, n_td);
  }

  void add_weight_gradient(SegmentContext& context, const HeadChunks& chunks,
                           const Tensor& n_td) const {
    Tensor dweight = model_.parameters.gradient(weight_);
    Tensor no_bias;
    const bool accumulate = context.accumulate_weight || chunks.begin > 0;
    kernels::linear_backward_weight(context.stream, chunks.first(chunks.logits), chunks.of(n_td),
                                    dweight, no_bias, accumulate);
  }

  void apply_cross_entropy(SegmentContext& context, HeadChunks& chunks) const {
    Stream& stream = context.stream;
    const Tensor& labels = chunks.labels;
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
    if (chunks.all_stats) {
      Tensor kept = chunks.of(chunks.all_stats);
      kernels::cast(stream, stats, kept);
    }
    make_dlogits(context, chunks, stats);
  }

  // In place of the logits, and the losses.
  void make_dlogits(SegmentContext& context, HeadChunks& chunks, const Tensor& stats) const {
    Tensor logits = chunks.first(chunks.logits);
    Tensor losses = chunks.of(chunks.losses_t);
    kernels::cross_entropy_backward(context.stream, logits, chunks.labels, vocabulary_begin_, stats,
                                    context.batch.loss_scale, losses);
  }

  void apply_loss(SegmentContext& context, HeadChunks& chunks) const {
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

  // The first shard, which samples, gets the logits of the whole vocabulary, the others none.
  void join_logits(SegmentContext& context, const std::vector<Tensor>& parts) const {
    context.logits_tv.reset();
    if (model_.slice.tp_rank != 0) return;
    context.logits_tv =
        context.stream.allocate(DType::f32, {parts.front().dim(0), model_.traits.vocabulary_size});
    join_columns(context.stream, parts, context.logits_tv);
  }

  // Of the last token of each row; several rows have one token each.
  void last_logits(SegmentContext& context, Hidden& hidden) const {
    Stream& stream = context.stream;
    const std::int64_t tokens = hidden.x_td.dim(0);
    const std::int64_t rows = context.batch.rows;
    COLLIE_CHECK(rows == 1 || rows == tokens, "{} rows of {} tokens together", rows, tokens);
    const auto last = [&](const Tensor& all) {
      return all ? all.rows(tokens - rows, tokens) : Tensor();
    };
    const Norm::Output normed = norm_.forward(context, {last(hidden.x_td), last(hidden.delta_td)});
    hidden = Hidden();
    Tensor logits = stream.allocate(normed.y_td.dtype(), {rows, weight().dim(0)});
    kernels::linear_forward(stream, normed.y_td, weight(), Tensor(), logits);
    lora_.add_forward(context, normed.y_td, logits);
    context.logits_tv = logits;
    if (logits.dtype() == DType::f32) return;
    context.logits_tv = stream.allocate(DType::f32, logits.shape());
    kernels::cast(stream, logits, context.logits_tv);
  }

  ShardModel model_;
  Norm norm_;
  int weight_;
  LoraAdapters lora_;
  std::int64_t vocabulary_begin_;
};

}  // namespace

std::unique_ptr<Segment> make_head_segment(const ShardModel& model) {
  return std::make_unique<HeadSegment>(model);
}

}  // namespace collie
