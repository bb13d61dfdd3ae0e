// Token embedding, cut by the vocabulary, and learned positions.
#include "kernels/elementwise.hpp"
#include "kernels/embedding.hpp"
#include "models/decoder.hpp"
#include "models/peft/embedding_lora.hpp"
#include "models/peft/prompt.hpp"
#include "models/residual_dropout.hpp"

namespace collie {

namespace {

class EmbeddingSegment final : public Segment {
 public:
  explicit EmbeddingSegment(const ShardModel& model)
      : model_(model),
        table_(require_parameter(model.parameters, "embedding")),
        positions_(model.parameters.find("positions")),
        prompt_(model),
        lora_(model),
        dropout_(model, "embedding.dropout") {}

  Steps forward(SegmentContext& context, Saved& saved, Hidden& hidden) override {
    look_up(context, hidden.x_td);
    co_yield sum_over_shards(hidden.x_td);
    hidden.x_td = dropout_.apply(context, hidden.x_td);
    saved.complete = true;
  }

  Steps backward_input(SegmentContext& context, Saved& saved, Tensor& gradient_td) override {
    saved.slots.assign(1, dropout_.apply(context, gradient_td));
    gradient_td.reset();
    co_return;
  }

  void backward_weight(SegmentContext& context, Saved& saved) override {
    const Tensor& dout_td = saved.slots[0];
    const MicroBatch& batch = context.batch;
    const std::int64_t row_begin = spec(table_).row_begin;
    // Where gradients take turns a tied table's is made by add_looked_up().
    const bool is_made =
        model_.parameters.takes_turns() && model_.traits.tied_embeddings && model_.slice.has_head;
    if (!is_made) add_rows(context, table_, batch.ids_t, dout_td, row_begin);
    if (positions_ >= 0) add_rows(context, positions_, batch.positions_t, dout_td, 0);
    if (!prompt_.empty()) prompt_.backward_weight(context, dout_td);
    if (!lora_.empty()) lora_.backward_weight(context, dout_td);
    saved.slots.clear();
  }

 private:
  const ParameterSpec& spec(int index) const {
    return model_.parameters.specs()[static_cast<std::size_t>(index)];
  }

  // The positions and the prompt enter through the first shard's part, so the sum over shards has
  // them once.
  void look_up(SegmentContext& context, Tensor& out_td) {
    Stream& stream = context.stream;
    const MicroBatch& batch = context.batch;
    const std::int64_t tokens = batch.rows * batch.sequence;
    out_td = stream.allocate(model_.options.compute_dtype, {tokens, model_.traits.hidden_size});
    const Tensor table = model_.parameters.compute(table_);
    kernels::embedding_forward(stream, batch.ids_t, table, spec(table_).row_begin, out_td);
    if (!lora_.empty()) lora_.add_forward(context, out_td);
    if (positions_ >= 0 && model_.slice.tp_rank == 0) {
      const Tensor learned = model_.parameters.compute(positions_);
      kernels::embedding_forward(stream, batch.positions_t, learned, 0, out_td, true);
    }
    if (!prompt_.empty() && model_.slice.tp_rank == 0) prompt_.add_forward(context, out_td);
  }

  void add_rows(SegmentContext& context, int index, const Tensor& ids_t, const Tensor& dout_td,
                std::int64_t row_begin) {
    if (!model_.parameters.is_trainable(index)) return;
    Tensor dtable = model_.parameters.gradient(index);
    if (!context.accumulate_weight) kernels::fill_zero(context.stream, dtable);
    kernels::embedding_backward(context.stream, ids_t, dout_td, row_begin, dtable);
  }

  ShardModel model_;
  int table_, positions_;
  Prompt prompt_;
  EmbeddingLora lora_;
  ResidualDropout dropout_;
};

}  // namespace

std::unique_ptr<Segment> make_embedding_segment(const ShardModel& model) {
  return std::make_unique<EmbeddingSegment>(model);
}

}  // namespace collie
