// The CPU side of embedding.hpp. Operands are checked.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels::cpu {

void embedding_forward(Stream& stream, const Tensor& ids, const Tensor& table,
                       std::int64_t row_begin, Tensor& out, bool accumulate);
void embedding_backward(Stream& stream, const Tensor& ids, const Tensor& dout,
                        std::int64_t row_begin, Tensor& dtable);

}  // namespace collie::kernels::cpu
