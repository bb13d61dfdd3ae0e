// A loss a user may replace: called with the logits of a few hundred tokens at a time, so the
// logits of a whole batch never exist. The vocabulary must be whole (tensor size 1).
#pragma once

#include "runtime/stream.hpp"

namespace collie {

class Loss {
 public:
  virtual ~Loss() = default;
  // logits_cv[C,V] (f32) in: logits; out: d loss / d logits times scale. labels_c[C] i32, negative
  // = ignored. losses_c[C] (f32): each token's unscaled loss, zero where ignored. Runs on the
  // stream's lanes only through the stream it is given. Must not throw: it is called on the
  // stream's thread, where an exception ends the process. A loss that cannot be computed is told by
  // a value that is not finite, which the trainer refuses.
  virtual void forward_backward(Stream& stream, Tensor& logits_cv, const Tensor& labels_c,
                                float scale, Tensor& losses_c) const = 0;
};

}  // namespace collie
