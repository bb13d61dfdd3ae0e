#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/dispatch.hpp"
#include "kernels/elementwise_impl.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise_cpu.cpp"
#include "kernels/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {

namespace {

template <class From, class To>
void convert(const From* from, To* to, std::int64_t begin, std::int64_t end) {
  for_vectors(begin, end, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    store_n(load_n(from + i, n), to + i, n);
  });
}

template <class T>
void scale_elements(T* x, float factor, std::int64_t begin, std::int64_t end) {
  for_vectors(begin, end, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    store_n(hn::Mul(load_n(x + i, n), splat(factor)), x + i, n);
  });
}

template <class T, class Bias>
void add_bias_rows(T* x, const Bias* bias, std::int64_t width, std::int64_t begin,
                   std::int64_t end) {
  for (std::int64_t row = begin; row < end; ++row) {
    T* x_row = x + row * width;
    for_vectors(0, width, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
      store_n(hn::Add(load_n(x_row + i, n), load_n(bias + i, n)), x_row + i, n);
    });
  }
}

FloatVec load_element(const cpu::Operand& operand, std::int64_t index, std::int64_t count) {
  return operand.dtype == DType::f32
             ? load_n(reinterpret_cast<const float*>(operand.data) + index, count)
             : load_n(reinterpret_cast<const BFloat16*>(operand.data) + index, count);
}

template <class Out>
void add_many(std::span<const cpu::Operand> parts, Out* out, std::int64_t begin, std::int64_t end) {
  for_vectors(begin, end, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    FloatVec sum = load_element(parts[0], i, n);
    for (const cpu::Operand& part : parts.subspan(1)) sum = hn::Add(sum, load_element(part, i, n));
    store_n(sum, out + i, n);
  });
}

}  // namespace

void cast_range(const Tensor& from, Tensor& to, std::int64_t begin, std::int64_t end) {
  if (from.dtype() == DType::f32) {
    convert(from.data<float>(), to.mutable_data<BFloat16>(), begin, end);
  } else {
    convert(from.data<BFloat16>(), to.mutable_data<float>(), begin, end);
  }
}

void scale_range(Tensor& x, float factor, std::int64_t begin, std::int64_t end) {
  if (x.dtype() == DType::f32) {
    scale_elements(x.mutable_data<float>(), factor, begin, end);
  } else {
    scale_elements(x.mutable_data<BFloat16>(), factor, begin, end);
  }
}

template <class T>
void add_bias_typed(T* x, const Tensor& bias_d, std::int64_t begin, std::int64_t end) {
  const std::int64_t width = bias_d.dim(0);
  if (bias_d.dtype() == DType::f32) {
    add_bias_rows(x, bias_d.data<float>(), width, begin, end);
  } else {
    add_bias_rows(x, bias_d.data<BFloat16>(), width, begin, end);
  }
}

void add_bias_range(Tensor& x_td, const Tensor& bias_d, std::int64_t begin, std::int64_t end) {
  if (x_td.dtype() == DType::f32) {
    add_bias_typed(x_td.mutable_data<float>(), bias_d, begin, end);
  } else {
    add_bias_typed(x_td.mutable_data<BFloat16>(), bias_d, begin, end);
  }
}

void sum_range(std::span<const cpu::Operand> parts, Tensor& out, std::int64_t begin,
               std::int64_t end) {
  if (out.dtype() == DType::f32) {
    add_many(parts, out.mutable_data<float>(), begin, end);
  } else {
    add_many(parts, out.mutable_data<BFloat16>(), begin, end);
  }
}

double square_range(const float* x, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<double> d64;
  const hn::Rebind<float, decltype(d64)> d32;
  const auto width = static_cast<std::int64_t>(hn::Lanes(d64));
  auto sum = hn::Zero(d64);
  std::int64_t index = begin;
  for (; index + width <= end; index += width) {
    const auto value = hn::PromoteTo(d64, hn::LoadU(d32, x + index));
    sum = hn::MulAdd(value, value, sum);
  }
  double total = hn::GetLane(hn::SumOfLanes(d64, sum));
  for (; index < end; ++index) total += double{x[index]} * double{x[index]};
  return total;
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

HWY_EXPORT(cast_range);
HWY_EXPORT(scale_range);
HWY_EXPORT(add_bias_range);
HWY_EXPORT(sum_range);
HWY_EXPORT(square_range);

namespace cpu {

void cast(Stream& stream, const Tensor& from, Tensor& to) {
  if (from.dtype() == to.dtype()) {
    std::byte* target = to.mutable_raw();
    for_tiles(stream, static_cast<std::int64_t>(from.size_bytes()), 4 * flat_tile,
              [&](std::int64_t begin, std::int64_t end, int) {
                std::memmove(target + begin, from.raw() + begin,
                             static_cast<std::size_t>(end - begin));
              });
    return;
  }
  for_tiles(stream, from.element_count(), flat_tile,
            [&](std::int64_t begin, std::int64_t end, int) {
              HWY_DYNAMIC_DISPATCH(cast_range)(from, to, begin, end);
            });
}

void scale(Stream& stream, Tensor& x, float factor) {
  for_tiles(stream, x.element_count(), flat_tile, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(scale_range)(x, factor, begin, end);
  });
}

void add_bias(Stream& stream, Tensor& x_td, const Tensor& bias_d) {
  const std::int64_t width = std::max<std::int64_t>(1, x_td.dim(1));
  const std::int64_t rows = std::max<std::int64_t>(1, flat_tile / width);
  for_tiles(stream, x_td.dim(0), rows, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(add_bias_range)(x_td, bias_d, begin, end);
  });
}

void sum_in_order(Stream& stream, std::span<const Tensor> parts, Tensor& out) {
  std::vector<Operand> operands;
  for (const Tensor& part : parts) operands.push_back({part.raw(), part.dtype()});
  for_tiles(stream, out.element_count(), flat_tile, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(sum_range)(operands, out, begin, end);
  });
}

double sum_of_squares(Stream& stream, const Tensor& x) {
  constexpr std::int64_t tile = 4 * flat_tile;
  const std::int64_t tiles = ceil_div(x.element_count(), tile);
  const float* data = x.data<float>();
  auto* sums = reinterpret_cast<double*>(
      stream.scratch(0, static_cast<std::size_t>(tiles) * sizeof(double)));
  for_tiles(stream, x.element_count(), tile, [&](std::int64_t begin, std::int64_t end, int) {
    sums[begin / tile] = HWY_DYNAMIC_DISPATCH(square_range)(data, begin, end);
  });
  double total = 0.0;
  for (std::int64_t i = 0; i < tiles; ++i) total += sums[i];
  return total;
}

}  // namespace cpu
}  // namespace collie::kernels
#endif
