// The CPU side of dropout.hpp. Operands are checked.
#pragma once

#include "kernels/dropout.hpp"
#include "kernels/elementwise_philox.hpp"

namespace collie::kernels {

struct DropoutMask {
  PhiloxKey key;
  std::uint64_t stream_id;
  std::uint32_t threshold;  // of 2^16: what is drawn below is dropped
  float factor;             // of what is kept
};

}  // namespace collie::kernels

namespace collie::kernels::cpu {

void dropout(Stream& stream, const Tensor& x_tk, const DropoutPlace& place, Tensor& out_tk,
             bool accumulate);

}  // namespace collie::kernels::cpu
