#include "kernels/embedding.hpp"

#include "kernels/dispatch.hpp"
#include "kernels/embedding_impl.hpp"

namespace collie::kernels {

namespace {

void check(const Tensor& ids_t, const Tensor& table_rd, const Tensor& rows_td) {
  require_compute(table_rd, "table");
  require_compute(rows_td, "rows");
  require_dtype(ids_t, DType::i32, "ids");
  COLLIE_CHECK(ids_t.shape().rank() == 1 && table_rd.shape().rank() == 2,
               "ids must be [tokens], the table [rows, hidden]");
  require_shape(rows_td, {ids_t.dim(0), table_rd.dim(1)}, "rows");
}

}  // namespace

void embedding_forward(Stream& stream, const Tensor& ids_t, const Tensor& table_rd,
                       std::int64_t row_begin, Tensor& out_td, bool accumulate) {
  check(ids_t, table_rd, out_td);
  by_device(stream, [&] {
    cpu::embedding_forward(stream, ids_t, table_rd, row_begin, out_td, accumulate);
  });
}

void embedding_backward(Stream& stream, const Tensor& ids_t, const Tensor& dout_td,
                        std::int64_t row_begin, Tensor& dtable_rd) {
  check(ids_t, dtable_rd, dout_td);
  require_dtype(dtable_rd, DType::f32, "dtable");
  by_device(stream, [&] { cpu::embedding_backward(stream, ids_t, dout_td, row_begin, dtable_rd); });
}

}  // namespace collie::kernels
