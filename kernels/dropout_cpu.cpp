#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/dispatch.hpp"
#include "kernels/dropout_impl.hpp"
#include "kernels/elementwise_philox.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/dropout_cpu.cpp"
#include "kernels/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {
namespace {

constexpr int block_calls = 16;
constexpr std::int64_t call_draws = 8;  // 16-bit numbers of one Philox call
constexpr std::int64_t block_draws = block_calls * call_draws;

// philox_4x32_10 of consecutive counters: words[i][c] is word i of call `first` + c.
void run_block(std::uint64_t first, const DropoutMask& mask,
               std::uint32_t (&words)[4][block_calls]) {
  for (int c = 0; c < block_calls; ++c) {
    const std::uint64_t call = first + static_cast<std::uint64_t>(c);
    words[0][c] = static_cast<std::uint32_t>(call);
    words[1][c] = static_cast<std::uint32_t>(call >> 32);
    words[2][c] = static_cast<std::uint32_t>(mask.stream_id);
    words[3][c] = static_cast<std::uint32_t>(mask.stream_id >> 32);
  }
  philox_4x32_10_block(mask.key, words);
}

// The draws of a block in the order of the elements: the low half of a word before its high half.
// A vector more may be read than there is.
struct Draws {
  alignas(64) std::uint16_t values[block_draws + lanes];
};

void draw_block(std::uint64_t first_call, const DropoutMask& mask, Draws& draws) {
  alignas(64) std::uint32_t words[4][block_calls];
  alignas(64) std::uint32_t ordered[4 * block_calls];
  run_block(first_call, mask, words);
  const hn::RebindToUnsigned<FloatTag> d;
  for (int c = 0; c < block_calls; c += static_cast<int>(lanes)) {
    hn::StoreInterleaved4(hn::LoadU(d, words[0] + c), hn::LoadU(d, words[1] + c),
                          hn::LoadU(d, words[2] + c), hn::LoadU(d, words[3] + c), d,
                          ordered + 4 * c);
  }
  std::memcpy(draws.values, ordered, sizeof(ordered));
}

// first: of the row's first element, counted over the run.
template <class T>
HWY_FLATTEN void drop(const T* x, T* out, std::int64_t width, std::int64_t first,
                      const DropoutMask& mask, bool accumulate) {
  const hn::RebindToUnsigned<FloatTag> d32;
  const auto threshold = hn::Set(d32, mask.threshold);
  Draws draws = {};
  for (std::int64_t k = 0; k < width;) {
    const std::int64_t index = first + k, skipped = index % call_draws;
    draw_block(static_cast<std::uint64_t>(index / call_draws), mask, draws);
    const std::int64_t count = std::min(width - k, block_draws - skipped);
    for_vectors(0, count, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
      const auto drawn = hn::PromoteTo(d32, hn::LoadU(HalfTag(), draws.values + skipped + i));
      const auto dropped = hn::RebindMask(FloatTag(), hn::Lt(drawn, threshold));
      const FloatVec scaled = hn::Mul(load_n(x + k + i, n), splat(mask.factor));
      FloatVec value = hn::IfThenZeroElse(dropped, scaled);
      if (accumulate) value = hn::Add(load_n(out + k + i, n), value);
      store_n(value, out + k + i, n);
    });
    k += count;
  }
}

}  // namespace

void drop_row(const Tensor& x, Tensor& out, std::int64_t row, std::int64_t first,
              const DropoutMask& mask, bool accumulate) {
  const std::int64_t width = x.dim(1);
  if (x.dtype() == DType::f32) {
    drop(x.data<float>() + row * width, out.mutable_data<float>() + row * width, width, first, mask,
         accumulate);
  } else {
    drop(x.data<BFloat16>() + row * width, out.mutable_data<BFloat16>() + row * width, width, first,
         mask, accumulate);
  }
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {
HWY_EXPORT(drop_row);
}  // namespace collie::kernels

namespace collie::kernels::cpu {

namespace {

constexpr std::int64_t row_tile = 16;

DropoutMask mask_of(const DropoutPlace& place) {
  return {
      .key = {static_cast<std::uint32_t>(place.seed), static_cast<std::uint32_t>(place.seed >> 32)},
      .stream_id = place.stream_id,
      .threshold = static_cast<std::uint32_t>(std::lround(place.probability * 0x1p16)),
      .factor = static_cast<float>(1.0 / (1.0 - place.probability))};
}

}  // namespace

void dropout(Stream& stream, const Tensor& x_tk, const DropoutPlace& place, Tensor& out_tk,
             bool accumulate) {
  const DropoutMask mask = mask_of(place);
  for_tiles(stream, x_tk.dim(0), row_tile, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t row = place.row_begin + t + t / place.rows_together * place.rows_between;
      HWY_DYNAMIC_DISPATCH(drop_row)
      (x_tk, out_tk, t, row * place.columns + place.column_begin, mask, accumulate);
    }
  });
}

}  // namespace collie::kernels::cpu
#endif
