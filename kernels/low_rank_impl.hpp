// The CPU side of low_rank.hpp. Operands are checked.
#pragma once

#include "kernels/low_rank.hpp"

namespace collie::kernels {

inline constexpr std::int64_t low_rank_block = 4;  // columns of the narrow side worked at once

}  // namespace collie::kernels

namespace collie::kernels::cpu {

void low_rank_expand(Stream& stream, const Tensor& u_tu, const Tensor& b_nr,
                     const LowRankPlace& place, Tensor& y_tm);
void low_rank_reduce(Stream& stream, const Tensor& dy_tm, const Tensor& b_nr,
                     const LowRankPlace& place, Tensor& g_tu, bool accumulate);
void low_rank_weight(Stream& stream, const Tensor& dy_tm, const Tensor& u_tu,
                     const LowRankPlace& place, Tensor& db_nr, bool accumulate);

}  // namespace collie::kernels::cpu
