// Slices of micro-batches, for schedules that cut them along the sequence (Seq1F1B, Sun et al.
// 2024, section 3).
//
// Under causal attention the forward of slice k reads the keys and values of slices 0..k, and the
// backward of slice k adds to the gradients of those; so forwards go from the first slice to the
// last and backwards from the last to the first. A weight's gradient is then a sum over slices:
// the same numbers as of whole micro-batches, added in another association. A run with slices
// therefore equals one rank with the same slices to the last bit, whatever its stages and message
// order, and a run without them within float32 rounding.
#pragma once

#include "models/stage.hpp"

namespace collie {

// The part of `whole` as whole.slice says; begin and whole of its slice are filled in. Runs on the
// stream; every slice has a token (the sequence is at least as long as there are slices). With one
// slice it is `whole` itself.
MicroBatch cut_slice(Stream& stream, const MicroBatch& whole);

// Before the forward of a micro-batch or of one of its slices: the state gets its batch, and what
// it shares with the slice before it (null where it has none). Runs on the stream.
void set_batch(Stream& stream, const MicroBatch& whole, const MicroBatchState* before,
               MicroBatchState& state);

}  // namespace collie
