// The narrow half of a low-rank adapter: products with a matrix of few columns, on a part of the
// columns of a wide activation (q, k and v stand side by side in one).
// Legend: T tokens, M columns of the wide activation, N of them from `column` on, U columns of the
// narrow activation, R of them from `rank_begin` on. b, db: [N, R].
//
// dtypes: y, dy, u, g, b all f32 or all bf16 (float32 accumulation); db is f32.
#pragma once

#include "runtime/stream.hpp"

namespace collie::kernels {

// Which columns of the wide and of the narrow activation belong to one b.
struct LowRankPlace {
  std::int64_t column = 0;
  std::int64_t rank_begin = 0;
  float scale = 1.0F;
};

// y[t, column + n] += scale * sum over r of u[t, rank_begin + r] b[n, r].
void low_rank_expand(Stream& stream, const Tensor& u_tu, const Tensor& b_nr,
                     const LowRankPlace& place, Tensor& y_tm);

// g[t, rank_begin + r] = or += scale * sum over n of dy[t, column + n] b[n, r].
void low_rank_reduce(Stream& stream, const Tensor& dy_tm, const Tensor& b_nr,
                     const LowRankPlace& place, Tensor& g_tu, bool accumulate = false);

// db[n, r] = or += scale * sum over t of dy[t, column + n] u[t, rank_begin + r].
void low_rank_weight(Stream& stream, const Tensor& dy_tm, const Tensor& u_tu,
                     const LowRankPlace& place, Tensor& db_nr, bool accumulate);

}  // namespace collie::kernels
