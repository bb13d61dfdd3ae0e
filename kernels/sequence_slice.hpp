// Cutting tokens along the sequence.
// Legend: B rows, W tokens a row, S of them taken.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels {

// slice_t[B * S] = tokens [begin, begin + S) of each row of whole_t[B * W], any dtype.
void take_slice(Stream& stream, const Tensor& whole_t, std::int64_t batch, std::int64_t begin,
                Tensor& slice_t);

}  // namespace collie::kernels
