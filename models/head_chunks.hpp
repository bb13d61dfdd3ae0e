// The head works in chunks of tokens, so that a micro-batch's logits never exist together.
// Legend: T tokens, C tokens of a chunk, D hidden, V rows of the vocabulary held here.
#pragma once

#include <cstdint>
#include <vector>

#include "models/segment.hpp"

namespace collie {

// The buffers of all chunks of one micro-batch.
struct HeadChunks {
  std::int64_t begin = 0, end = 0;  // tokens of the chunk at hand
  Tensor logits, float_logits;      // [C, V]; float_logits for a user's loss under bf16
  Tensor stats, combined;           // [C, 3]
  std::vector<Tensor> parts;        // every shard's stats
  Tensor labels;                    // [C]; drawn ones where they are drawn
  Tensor draws;                     // [C, 2], then the best of this shard
  std::vector<Tensor> draw_parts;   // every shard's draws
  Tensor losses_t;
  Tensor all_stats;  // [T, 3], for a second pass
  // With an adapter: what it sees of the normed stream, and under dropout the gradient of that.
  Tensor seen_td, dseen_td;

  std::int64_t count() const { return end - begin; }
  Tensor of(const Tensor& whole) const { return whole.rows(begin, end); }
  Tensor first(const Tensor& buffer) const { return buffer.rows(0, count()); }
};

// Labels of the chunk at hand from the model itself, where the micro-batch asks for it: this
// shard's candidates (Gumbel-max over its part of the vocabulary) in chunks.draws; then, from every
// shard's in chunks.draw_parts (empty: this is the only one), the labels.
void draw_labels(SegmentContext& context, HeadChunks& chunks, std::int64_t vocabulary_begin);
void choose_labels(SegmentContext& context, HeadChunks& chunks);

}  // namespace collie
