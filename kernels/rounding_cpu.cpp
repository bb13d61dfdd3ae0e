#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/dispatch.hpp"
#include "kernels/elementwise_philox.hpp"
#include "kernels/rounding_impl.hpp"

namespace collie::kernels::cpu {

namespace {

constexpr std::int64_t block = 8;               // numbers of 16 bits from one Philox call
constexpr std::uint32_t key_tag = 0x726F756EU;  // other numbers than those of new weights

std::uint32_t low(std::uint64_t value) {
  return static_cast<std::uint32_t>(value);
}
std::uint32_t high(std::uint64_t value) {
  return static_cast<std::uint32_t>(value >> 32);
}

// A uniform number below the last bit that is kept, added before the rest is cut off.
BFloat16 rounded(float value, std::uint32_t random) {
  if (!std::isfinite(value)) return BFloat16(value);
  const std::uint32_t bits = (std::bit_cast<std::uint32_t>(value) + random) & 0xFFFF0000U;
  return BFloat16(std::bit_cast<float>(bits));
}

}  // namespace

void round_stochastic(Stream& stream, const RoundingNumbers& numbers, const Tensor& from,
                      Tensor& to) {
  const PhiloxKey key{low(numbers.seed) ^ key_tag, high(numbers.seed)};
  const float* in = from.data<float>();
  auto* out = to.mutable_data<BFloat16>();
  const std::int64_t first = numbers.first_index;
  for_tiles(
      stream, from.element_count(), flat_tile, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t index = first + begin; index < first + end;) {
          const auto call = static_cast<std::uint64_t>(index / block);
          const PhiloxCounter bits = philox_4x32_10(
              {low(call), low(numbers.step), low(numbers.stream_id), high(numbers.stream_id)}, key);
          const std::int64_t last = std::min(first + end, (index / block + 1) * block);
          for (; index < last; ++index) {
            const auto lane = static_cast<std::size_t>(index % block);
            const std::uint32_t random = (bits[lane / 2] >> (16 * (lane % 2))) & 0xFFFFU;
            out[index - first] = rounded(in[index - first], random);
          }
        }
      });
}

}  // namespace collie::kernels::cpu
