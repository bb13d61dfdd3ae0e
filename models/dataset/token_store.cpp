#include "models/dataset/token_store.hpp"

#include <algorithm>

#include "runtime/check.hpp"

namespace collie {

void MemoryBlock::copy(std::int64_t begin, std::int64_t count, std::int32_t* out_ids,
                       std::uint8_t* out_learned) const {
  std::copy_n(ids.begin() + begin, count, out_ids);
  std::copy_n(learned.begin() + begin, count, out_learned);
}

std::int64_t TokenStore::add(std::shared_ptr<const TokenBlock> block) {
  const std::int64_t begin = size();
  begins_.push_back(begin + block->size());
  blocks_.push_back(std::move(block));
  return begin;
}

void TokenStore::copy(std::int64_t begin, std::int64_t count, std::int32_t* ids,
                      std::uint8_t* learned) const {
  const auto after = std::upper_bound(begins_.begin(), begins_.end(), begin);
  COLLIE_CHECK(begin >= 0 && count >= 0 && after != begins_.end() && begin + count <= *after,
               "tokens {} to {} of {} are not in one block", begin, begin + count, size());
  const auto block = static_cast<std::size_t>(after - begins_.begin() - 1);
  blocks_[block]->copy(begin - begins_[block], count, ids, learned);
}

std::size_t TokenStore::memory_bytes() const {
  std::size_t bytes = 0;
  for (const auto& block : blocks_) bytes += block->memory_bytes();
  return bytes;
}

}  // namespace collie
