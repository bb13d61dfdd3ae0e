// Shuffling without state: a keyed permutation of 0 .. size - 1 that answers for one index at a
// time, so the position in the data is a function of the step.
#pragma once

#include <bit>
#include <cstdint>

#include "runtime/check.hpp"

namespace collie {

// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): a bijection that spreads every bit.
constexpr std::uint64_t mix_bits(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

// A Feistel network over the smallest even number of bits that holds size, walked along its cycle
// until it lands inside (Black and Rogaway 2002): a bijection whatever the round function is.
class Permutation {
 public:
  Permutation(std::int64_t size, std::uint64_t seed, std::uint64_t epoch)
      : size_(static_cast<std::uint64_t>(size)),
        half_bits_(static_cast<int>(std::bit_width(size_ > 1 ? size_ - 1 : 1) + 1) / 2),
        key_(mix_bits(mix_bits(seed) ^ epoch)) {
    COLLIE_CHECK(size > 0, "permutation of {} elements", size);
  }

  std::int64_t operator()(std::int64_t index) const {
    auto place = static_cast<std::uint64_t>(index);
    COLLIE_CHECK(place < size_, "index {} of a permutation of {}", index, size_);
    do {
      place = encrypt(place);
    } while (place >= size_);
    return static_cast<std::int64_t>(place);
  }

 private:
  static constexpr std::uint64_t round_count = 6;

  std::uint64_t encrypt(std::uint64_t block) const {
    const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
    std::uint64_t left = block >> half_bits_;
    std::uint64_t right = block & mask;
    for (std::uint64_t round = 0; round < round_count; ++round) {
      const std::uint64_t mixed = left ^ (mix_bits(right ^ (key_ + (round << 56))) & mask);
      left = right;
      right = mixed;
    }
    return (left << half_bits_) | right;
  }

  std::uint64_t size_;
  int half_bits_;
  std::uint64_t key_;
};

}  // namespace collie
