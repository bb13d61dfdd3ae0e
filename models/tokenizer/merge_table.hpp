// (left id, right id) -> the merge's rank and the id it makes. One flat table, built once.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace collie::tok {

struct Merge {
  std::int32_t rank = -1;  // -1: these two do not merge
  std::int32_t id = -1;
};

class MergeTable {
 public:
  MergeTable() : MergeTable(0) {}
  explicit MergeTable(std::size_t merges_max)
      : slots_(std::bit_ceil(merges_max + merges_max / 2 + 2)),
        shift_(64 - std::countr_zero(slots_.size())) {}

  // A pair given twice keeps its later rank, as in the tokenizers library.
  void insert(std::int32_t left, std::int32_t right, Merge merge) {
    Slot& slot = slots_[slot_of(key(left, right))];
    slot = {key(left, right), merge};
  }

  Merge find(std::int32_t left, std::int32_t right) const {
    return slots_[slot_of(key(left, right))].merge;
  }

 private:
  static constexpr std::uint64_t free_key = ~std::uint64_t{0};  // ids are never negative
  struct Slot {
    std::uint64_t key = free_key;
    Merge merge;
  };

  static std::uint64_t key(std::int32_t left, std::int32_t right) {
    return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) |
           static_cast<std::uint32_t>(right);
  }

  std::size_t slot_of(std::uint64_t wanted) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t slot = (wanted * 0x9E3779B97F4A7C15u) >> shift_;
    while (slots_[slot].key != wanted && slots_[slot].key != free_key) slot = (slot + 1) & mask;
    return slot;
  }

  std::vector<Slot> slots_;
  int shift_;
};

}  // namespace collie::tok
