// Normal random numbers that depend on their index alone.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/dispatch.hpp"
#include "kernels/elementwise_impl.hpp"
#include "kernels/elementwise_philox.hpp"

namespace collie::kernels::cpu {

namespace {

constexpr std::int64_t block = 4;  // normals of one Philox call

// Uniform in (0, 1): never 0, of which there is no logarithm.
double uniform(std::uint32_t bits) {
  return (bits + 0.5) * 0x1p-32;
}

// Box & Muller 1958, in double so that the float results do not depend on the C library's last bit.
std::array<double, block> normals(const PhiloxCounter& bits) {
  std::array<double, block> values;
  for (std::size_t pair = 0; pair < values.size(); pair += 2) {
    const double radius = std::sqrt(-2.0 * std::log(uniform(bits[pair])));
    const double angle = 2.0 * std::numbers::pi * uniform(bits[pair + 1]);
    values[pair] = radius * std::cos(angle);
    values[pair + 1] = radius * std::sin(angle);
  }
  return values;
}

std::uint32_t low(std::uint64_t value) {
  return static_cast<std::uint32_t>(value);
}
std::uint32_t high(std::uint64_t value) {
  return static_cast<std::uint32_t>(value >> 32);
}

// The elements with the absolute indices [begin, end), to x[0], x[1], ...
template <class T>
void fill_range(T* x, double stddev, const PhiloxKey& key, std::uint64_t stream_id,
                std::int64_t begin, std::int64_t end) {
  for (std::int64_t index = begin; index < end;) {
    const auto call = static_cast<std::uint64_t>(index / block);
    const auto values =
        normals(philox_4x32_10({low(call), high(call), low(stream_id), high(stream_id)}, key));
    const std::int64_t call_end = std::min(end, (index / block + 1) * block);
    for (; index < call_end; ++index) {
      const double value = stddev * values[static_cast<std::size_t>(index % block)];
      x[index - begin] = T(static_cast<float>(value));
    }
  }
}

template <class T>
void fill_typed(Stream& stream, Tensor& x, double stddev, const PhiloxKey& key,
                std::uint64_t stream_id, std::int64_t first_index) {
  T* data = x.mutable_data<T>();
  for_tiles(stream, x.element_count(), flat_tile, [&](std::int64_t begin, std::int64_t end, int) {
    fill_range(data + begin, stddev, key, stream_id, first_index + begin, first_index + end);
  });
}

}  // namespace

void fill_normal(Stream& stream, Tensor& x, float stddev, std::uint64_t seed,
                 std::uint64_t stream_id, std::int64_t first_index) {
  const PhiloxKey key{low(seed), high(seed)};
  if (x.dtype() == DType::f32) {
    fill_typed<float>(stream, x, double{stddev}, key, stream_id, first_index);
  } else {
    fill_typed<BFloat16>(stream, x, double{stddev}, key, stream_id, first_index);
  }
}

}  // namespace collie::kernels::cpu
