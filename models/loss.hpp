// A loss a user may replace: called with the logits of a few hundred tokens at a time, so the
// logits of a whole batch never exist. The vocabulary must be whole (tensor size 1).
#pragma once

#include "runtime/stream.hpp"

namespace collie {

// Which tokens a loss is shown: those from token_begin on of a micro-batch's B * S, row by row.
struct LossChunk {
  bool trains = true;          // false: an evaluation, logits_cv may be left as they are
  std::int64_t first_row = 0;  // number of the micro-batch's first row in the whole run
  std::int64_t rows = 1;       // B
  std::int64_t sequence = 0;   // S
  std::int64_t token_begin = 0;
};

class Loss {
 public:
  virtual ~Loss() = default;
  // Above 0: a chunk holds whole rows, and of them multiples of this number (a pair that is
  // compared, say), as train.micro_batch_size must be. Its logits then take that much memory.
  virtual std::int64_t rows_together() const { return 0; }
  // What the model calls. A loss that needs to know which rows it sees overrides this one.
  virtual void forward_backward_of(Stream& stream, Tensor& logits_cv, const Tensor& labels_c,
                                   float scale, Tensor& losses_c,
                                   [[maybe_unused]] const LossChunk& chunk) const {
    forward_backward(stream, logits_cv, labels_c, scale, losses_c);
  }
  // logits_cv[C,V] (f32) in: logits; out: d loss / d logits times scale. labels_c[C] i32, negative
  // = ignored. losses_c[C] (f32): each token's unscaled loss, zero where ignored. Runs on the
  // stream's lanes only through the stream it is given. Must not throw: it is called on the
  // stream's thread, where an exception ends the process. A loss that cannot be computed is told by
  // a value that is not finite, which the trainer refuses.
  virtual void forward_backward(Stream& stream, Tensor& logits_cv, const Tensor& labels_c,
                                float scale, Tensor& losses_c) const = 0;
};

}  // namespace collie
