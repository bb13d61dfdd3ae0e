#include "kernels/label_sample.hpp"
#include "models/head_chunks.hpp"

namespace collie {

void draw_labels(SegmentContext& context, HeadChunks& chunks, std::int64_t vocabulary_begin) {
  const MicroBatch& batch = context.batch;
  const kernels::LabelSamplePlace place{
      .seed = batch.label_draw->seed,
      .step = batch.label_draw->step,
      .token_begin = chunks.begin,
      .first_row = batch.first_row,
      .row_tokens = batch.sequence,
      .row_begin = batch.slice.begin,
      .row_stride = batch.slice.count > 1 ? batch.slice.whole : batch.sequence};
  // Anew for every chunk, as the statistics are.
  chunks.draws = context.stream.allocate(DType::f32, {chunks.count(), 2});
  Tensor draws = chunks.draws;
  kernels::sample_labels(context.stream, chunks.first(chunks.logits), chunks.labels,
                         vocabulary_begin, place, draws);
}

void choose_labels(SegmentContext& context, HeadChunks& chunks) {
  if (chunks.draw_parts.empty()) chunks.draw_parts = {chunks.draws};
  Tensor drawn = context.stream.allocate(DType::i32, {chunks.count()});
  kernels::choose_sampled_labels(context.stream, chunks.draw_parts, chunks.labels, drawn);
  chunks.labels = drawn;
  chunks.draw_parts.clear();
}

}  // namespace collie
