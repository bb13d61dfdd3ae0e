#include "kernels/dropout.hpp"

#include "kernels/dispatch.hpp"
#include "kernels/dropout_impl.hpp"

namespace collie::kernels {

void dropout(Stream& stream, const Tensor& x_tk, const DropoutPlace& place, Tensor& out_tk,
             bool accumulate) {
  require_compute(x_tk, "x");
  require_same(x_tk, out_tk, "x and out");
  COLLIE_CHECK(x_tk.shape().rank() == 2 && place.probability >= 0.0 && place.probability < 1.0);
  COLLIE_CHECK(0 <= place.column_begin && place.column_begin + x_tk.dim(1) <= place.columns);
  COLLIE_CHECK(place.rows_together > 0 && place.rows_between >= 0);
  by_device(stream, [&] { cpu::dropout(stream, x_tk, place, out_tk, accumulate); });
}

}  // namespace collie::kernels
