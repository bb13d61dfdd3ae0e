// Rows of a table by id, for a table whose rows [row_begin, row_begin + R) this shard holds.
// Legend: T tokens, R rows held, D hidden. ids are i32; dtypes of table and output f32 or bf16.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels {

// out[T,D] = table[id - row_begin], zero where another shard holds the row; with accumulate, added.
void embedding_forward(Stream& stream, const Tensor& ids_t, const Tensor& table_rd,
                       std::int64_t row_begin, Tensor& out_td, bool accumulate = false);

// dtable[R,D] (f32) += dout at each id, tokens in order. The caller zeroes dtable at a step's
// start.
void embedding_backward(Stream& stream, const Tensor& ids_t, const Tensor& dout_td,
                        std::int64_t row_begin, Tensor& dtable_rd);

}  // namespace collie::kernels
