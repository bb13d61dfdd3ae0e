#include "kernels/low_rank.hpp"

#include "kernels/dispatch.hpp"
#include "kernels/low_rank_impl.hpp"

namespace collie::kernels {

namespace {

void check(const Tensor& wide_tm, const Tensor& narrow_tu, const Tensor& b_nr,
           const LowRankPlace& place) {
  require_compute(wide_tm, "the wide activation");
  require_dtype(narrow_tu, wide_tm.dtype(), "the narrow activation");
  COLLIE_CHECK(wide_tm.shape().rank() == 2 && narrow_tu.shape().rank() == 2 &&
               b_nr.shape().rank() == 2);
  COLLIE_CHECK(wide_tm.dim(0) == narrow_tu.dim(0), "one row for each token");
  COLLIE_CHECK(0 <= place.column && place.column + b_nr.dim(0) <= wide_tm.dim(1), "columns");
  COLLIE_CHECK(0 <= place.rank_begin && place.rank_begin + b_nr.dim(1) <= narrow_tu.dim(1),
               "ranks");
}

}  // namespace

void low_rank_expand(Stream& stream, const Tensor& u_tu, const Tensor& b_nr,
                     const LowRankPlace& place, Tensor& y_tm) {
  check(y_tm, u_tu, b_nr, place);
  require_dtype(b_nr, y_tm.dtype(), "b");
  by_device(stream, [&] { cpu::low_rank_expand(stream, u_tu, b_nr, place, y_tm); });
}

void low_rank_reduce(Stream& stream, const Tensor& dy_tm, const Tensor& b_nr,
                     const LowRankPlace& place, Tensor& g_tu, bool accumulate) {
  check(dy_tm, g_tu, b_nr, place);
  require_dtype(b_nr, dy_tm.dtype(), "b");
  by_device(stream, [&] { cpu::low_rank_reduce(stream, dy_tm, b_nr, place, g_tu, accumulate); });
}

void low_rank_weight(Stream& stream, const Tensor& dy_tm, const Tensor& u_tu,
                     const LowRankPlace& place, Tensor& db_nr, bool accumulate) {
  check(dy_tm, u_tu, db_nr, place);
  require_dtype(db_nr, DType::f32, "db");
  by_device(stream, [&] { cpu::low_rank_weight(stream, dy_tm, u_tu, place, db_nr, accumulate); });
}

}  // namespace collie::kernels
