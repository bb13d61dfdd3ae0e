// Recently seen short pieces and their ids: direct-mapped, fixed size, one cache line per piece.
#pragma once

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace collie::tok {

class WordCache {
 public:
  static constexpr std::size_t piece_bytes_max = 30;
  static constexpr std::size_t ids_max = 8;

  static bool fits(std::string_view piece) { return piece.size() <= piece_bytes_max; }
  static std::uint64_t hash(std::string_view piece) {
    return XXH3_64bits(piece.data(), piece.size());
  }

  // Empty when the piece is not there. The piece must fit.
  std::span<const std::int32_t> find(std::uint64_t hash, std::string_view piece) const {
    const Slot& slot = slots_[hash % slot_count];
    if (slot.bytes != piece.size() || std::memcmp(slot.piece, piece.data(), piece.size()) != 0) {
      return {};
    }
    return {slot.ids, slot.count};
  }

  void insert(std::uint64_t hash, std::string_view piece, std::span<const std::int32_t> ids) {
    if (ids.empty() || ids.size() > ids_max) return;
    Slot& slot = slots_[hash % slot_count];
    slot.bytes = static_cast<std::uint8_t>(piece.size());
    slot.count = static_cast<std::uint8_t>(ids.size());
    std::memcpy(slot.piece, piece.data(), piece.size());
    std::memcpy(slot.ids, ids.data(), ids.size_bytes());
  }

 private:
  static constexpr std::size_t slot_count = 1 << 15;
  struct alignas(64) Slot {
    std::uint8_t bytes = 0;
    std::uint8_t count = 0;
    char piece[piece_bytes_max];
    std::int32_t ids[ids_max];
  };
  static_assert(sizeof(Slot) == 64);

  std::vector<Slot> slots_ = std::vector<Slot>(slot_count);
};

}  // namespace collie::tok
