// The CPU side of virtual_tokens.hpp. Operands are checked.
#pragma once

#include "kernels/virtual_tokens.hpp"

namespace collie::kernels::cpu {

void place_prefix(Stream& stream, const Tensor& prefix_cn, const Tensor& positions_t,
                  std::int64_t column, Tensor& x_tm);
void take_prefix_gradient(Stream& stream, const Tensor& positions_t, std::int64_t column,
                          Tensor& dx_tm, Tensor& dprefix_cn, bool accumulate);
void relu(Tensor& x);
void relu_backward(const Tensor& y, Tensor& dy);

}  // namespace collie::kernels::cpu
