#include "kernels/elementwise.hpp"

#include <cmath>
#include <cstring>

#include "kernels/dispatch.hpp"
#include "kernels/elementwise_impl.hpp"

namespace collie::kernels {

void fill_zero(Stream& stream, Tensor& x) {
  COLLIE_CHECK(x.defined(), "fill_zero of an undefined tensor");
  by_device(stream, [&] {
    std::byte* bytes = x.mutable_raw();
    for_tiles(stream, static_cast<std::int64_t>(x.size_bytes()), 4 * flat_tile,
              [&](std::int64_t begin, std::int64_t end, int) {
                std::memset(bytes + begin, 0, static_cast<std::size_t>(end - begin));
              });
  });
}

void cast(Stream& stream, const Tensor& from, Tensor& to) {
  require_compute(from, "from");
  require_compute(to, "to");
  require_shape(to, from.shape(), "to");
  by_device(stream, [&] { cpu::cast(stream, from, to); });
}

void scale(Stream& stream, Tensor& x, float factor) {
  require_compute(x, "x");
  by_device(stream, [&] { cpu::scale(stream, x, factor); });
}

void add(Stream& stream, const Tensor& a, const Tensor& b, Tensor& out) {
  const Tensor parts[] = {a, b};
  sum_in_order(stream, parts, out);
}

void add_bias(Stream& stream, Tensor& x_td, const Tensor& bias_d) {
  require_compute(x_td, "x");
  COLLIE_CHECK(x_td.shape().rank() == 2, "x must be a matrix, not {}", to_string(x_td.shape()));
  require_compute(bias_d, "bias");
  require_shape(bias_d, {x_td.dim(1)}, "bias");
  by_device(stream, [&] { cpu::add_bias(stream, x_td, bias_d); });
}

void sum_in_order(Stream& stream, std::span<const Tensor> parts, Tensor& out) {
  COLLIE_CHECK(!parts.empty(), "a sum of nothing");
  require_compute(out, "out");
  for (const Tensor& part : parts) {
    require_compute(part, "part");
    require_shape(part, out.shape(), "part");
  }
  by_device(stream, [&] { cpu::sum_in_order(stream, parts, out); });
}

double sum_of_squares(Stream& stream, const Tensor& x) {
  require_dtype(x, DType::f32, "x");
  return by_device(stream, [&] { return cpu::sum_of_squares(stream, x); });
}

void fill_normal(Stream& stream, Tensor& x, float stddev, std::uint64_t seed,
                 std::uint64_t stream_id, std::int64_t first_index) {
  require_compute(x, "x");
  COLLIE_CHECK(std::isfinite(stddev) && first_index >= 0, "stddev {}, first index {}", stddev,
               first_index);
  by_device(stream, [&] { cpu::fill_normal(stream, x, stddev, seed, stream_id, first_index); });
}

}  // namespace collie::kernels
