#include "models/sequence_slice.hpp"

#include "kernels/sequence_slice.hpp"

namespace collie {

namespace {

// One row's tokens stand together already.
Tensor cut(Stream& stream, const MicroBatch& whole, const Tensor& tokens, std::int64_t begin,
           std::int64_t end) {
  if (!tokens) return tokens;
  if (whole.rows == 1) return tokens.rows(begin, end);
  Tensor slice = stream.allocate(tokens.dtype(), {whole.rows * (end - begin)});
  kernels::take_slice(stream, tokens, whole.rows, begin, slice);
  return slice;
}

}  // namespace

MicroBatch cut_slice(Stream& stream, const MicroBatch& whole) {
  const SequenceSlice& at = whole.slice;
  if (at.count == 1) return whole;
  COLLIE_CHECK(at.index >= 0 && at.index < at.count && at.count <= whole.sequence,
               "slice {} of {} of {} tokens", at.index, at.count, whole.sequence);
  const std::int64_t begin = whole.sequence * at.index / at.count;
  const std::int64_t end = whole.sequence * (at.index + 1) / at.count;
  MicroBatch part = whole;
  part.slice.begin = begin;
  part.slice.whole = whole.sequence;
  part.sequence = end - begin;
  part.ids_t = cut(stream, whole, whole.ids_t, begin, end);
  part.labels_t = cut(stream, whole, whole.labels_t, begin, end);
  part.positions_t = cut(stream, whole, whole.positions_t, begin, end);
  return part;
}

void set_batch(Stream& stream, const MicroBatch& whole, const MicroBatchState* before,
               MicroBatchState& state) {
  state.batch = cut_slice(stream, whole);
  state.slices.reset();
  if (whole.slice.count == 1) return;
  COLLIE_CHECK((before == nullptr) == (whole.slice.index == 0), "slice {} has {} slice before it",
               whole.slice.index, before == nullptr ? "no" : "a");
  state.slices = before == nullptr ? std::make_shared<std::vector<SliceCache>>() : before->slices;
}

}  // namespace collie
