// Philox-4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel random
// numbers: as easy as 1, 2, 3" (SC 2011): a bijection of the counter for each key.
#pragma once

#include <hwy/base.h>

#include <array>
#include <cstdint>

namespace collie::kernels {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

constexpr PhiloxCounter philox_4x32_10(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t first = std::uint64_t{0xD2511F53U} * counter[0];
    const std::uint64_t second = std::uint64_t{0xCD9E8D57U} * counter[2];
    counter = {static_cast<std::uint32_t>(second >> 32) ^ counter[1] ^ key[0],
               static_cast<std::uint32_t>(second),
               static_cast<std::uint32_t>(first >> 32) ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(first)};
    key = {key[0] + 0x9E3779B9U, key[1] + 0xBB67AE85U};
  }
  return counter;
}

// Of many counters at once: words[i][c] is word i of counter c. In plain loops, which the compiler
// turns into vectors of each target that this is inlined into.
template <int calls>
HWY_INLINE void philox_4x32_10_block(PhiloxKey key, std::uint32_t (&words)[4][calls]) {
  for (int round = 0; round < 10; ++round) {
    for (int c = 0; c < calls; ++c) {
      const std::uint64_t one = std::uint64_t{0xD2511F53U} * words[0][c];
      const std::uint64_t two = std::uint64_t{0xCD9E8D57U} * words[2][c];
      words[0][c] = static_cast<std::uint32_t>(two >> 32) ^ words[1][c] ^ key[0];
      words[1][c] = static_cast<std::uint32_t>(two);
      words[2][c] = static_cast<std::uint32_t>(one >> 32) ^ words[3][c] ^ key[1];
      words[3][c] = static_cast<std::uint32_t>(one);
    }
    key = {key[0] + 0x9E3779B9U, key[1] + 0xBB67AE85U};
  }
}

}  // namespace collie::kernels
