// Tokens in memory or in mapped files, addressed as one sequence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace collie {

// Consecutive tokens and whether each is a label when it is predicted. Immutable once it is in a
// store; const members may run in several threads at once.
class TokenBlock {
 public:
  virtual ~TokenBlock() = default;
  virtual std::int64_t size() const = 0;
  // ids[i] and learned[i] (0 or 1) of token begin + i, for i < count.
  virtual void copy(std::int64_t begin, std::int64_t count, std::int32_t* ids,
                    std::uint8_t* learned) const = 0;
  // Of memory that the kernel cannot take back: pages of mapped files are none.
  virtual std::size_t memory_bytes() const = 0;
};

class MemoryBlock : public TokenBlock {
 public:
  std::vector<std::int32_t> ids;
  std::vector<bool> learned;

  std::int64_t size() const override { return static_cast<std::int64_t>(ids.size()); }
  void copy(std::int64_t begin, std::int64_t count, std::int32_t* out_ids,
            std::uint8_t* out_learned) const override;
  std::size_t memory_bytes() const override {
    return ids.size() * sizeof(std::int32_t) + learned.size() / 8;
  }
};

// Blocks one after the other. What is copied at once must lie in one block; no document spans two.
class TokenStore {
 public:
  explicit TokenStore(std::int32_t fill_id) : fill_id_(fill_id) {}

  // Returns where the block's first token stands.
  std::int64_t add(std::shared_ptr<const TokenBlock> block);
  std::int64_t size() const { return begins_.back(); }
  std::int32_t fill_id() const { return fill_id_; }
  void copy(std::int64_t begin, std::int64_t count, std::int32_t* ids, std::uint8_t* learned) const;
  std::size_t memory_bytes() const;

 private:
  std::vector<std::shared_ptr<const TokenBlock>> blocks_;
  std::vector<std::int64_t> begins_{0};  // of each block, and the end of the last
  std::int32_t fill_id_ = 0;
};

}  // namespace collie
