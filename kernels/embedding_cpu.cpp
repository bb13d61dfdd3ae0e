#include "kernels/dispatch.hpp"
#include "kernels/embedding_impl.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/embedding_cpu.cpp"
#include "kernels/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {
namespace {

// to = from, or to += from; from may be null for zeros.
template <class From, class To>
HWY_INLINE void move_row(const From* from, std::int64_t count, bool accumulate, To* to) {
  for_vectors(0, count, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    FloatVec value = from == nullptr ? zero() : load_n(from + i, n);
    if (accumulate) value = hn::Add(load_n(to + i, n), value);
    store_n(value, to + i, n);
  });
}

template <class From, class To>
void gather(const std::int32_t* ids, const Tensor& table, std::int64_t row_begin, Tensor& out,
            bool accumulate, std::int64_t begin, std::int64_t end) {
  const std::int64_t hidden = table.dim(1);
  for (std::int64_t t = begin; t < end; ++t) {
    const std::int64_t row = ids[t] - row_begin;
    const bool held = row >= 0 && row < table.dim(0);
    if (!held && accumulate) continue;
    move_row(held ? table.data<From>() + row * hidden : nullptr, hidden, accumulate,
             out.mutable_data<To>() + t * hidden);
  }
}

template <class From>
void scatter(const std::int32_t* ids, const Tensor& dout, std::int64_t row_begin, Tensor& dtable,
             std::int64_t begin, std::int64_t end) {
  const std::int64_t hidden = dtable.dim(1);
  for (std::int64_t t = 0; t < dout.dim(0); ++t) {
    const std::int64_t row = ids[t] - row_begin;
    if (row < 0 || row >= dtable.dim(0)) continue;
    move_row(dout.data<From>() + t * hidden + begin, end - begin, true,
             dtable.mutable_data<float>() + row * hidden + begin);
  }
}

}  // namespace

void embedding_gather(const std::int32_t* ids, const Tensor& table, std::int64_t row_begin,
                      Tensor& out, bool accumulate, std::int64_t begin, std::int64_t end) {
  const bool from_f32 = table.dtype() == DType::f32;
  const bool to_f32 = out.dtype() == DType::f32;
  const auto run = from_f32 ? (to_f32 ? gather<float, float> : gather<float, BFloat16>)
                            : (to_f32 ? gather<BFloat16, float> : gather<BFloat16, BFloat16>);
  run(ids, table, row_begin, out, accumulate, begin, end);
}

// Columns [begin, end) of every token, in token order.
void embedding_scatter(const std::int32_t* ids, const Tensor& dout, std::int64_t row_begin,
                       Tensor& dtable, std::int64_t begin, std::int64_t end) {
  const auto run = dout.dtype() == DType::f32 ? scatter<float> : scatter<BFloat16>;
  run(ids, dout, row_begin, dtable, begin, end);
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

HWY_EXPORT(embedding_gather);
HWY_EXPORT(embedding_scatter);

namespace cpu {

namespace {
constexpr std::int64_t token_tile = 64;
constexpr std::int64_t column_tile = 64;
}  // namespace

void embedding_forward(Stream& stream, const Tensor& ids, const Tensor& table,
                       std::int64_t row_begin, Tensor& out, bool accumulate) {
  const std::int32_t* const id = ids.data<std::int32_t>();
  for_tiles(stream, ids.dim(0), token_tile, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(embedding_gather)(id, table, row_begin, out, accumulate, begin, end);
  });
}

void embedding_backward(Stream& stream, const Tensor& ids, const Tensor& dout,
                        std::int64_t row_begin, Tensor& dtable) {
  const std::int32_t* const id = ids.data<std::int32_t>();
  for_tiles(stream, dtable.dim(1), column_tile, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(embedding_scatter)(id, dout, row_begin, dtable, begin, end);
  });
}

}  // namespace cpu
}  // namespace collie::kernels
#endif
