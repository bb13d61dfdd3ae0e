#include "runtime/allocator.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <deque>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "runtime/limits.hpp"

namespace collie {

namespace {

constexpr std::size_t slab_bytes = std::size_t{32} << 20;
constexpr std::size_t page_bytes = 4096;
constexpr std::size_t small_block_bytes = 64 * 1024;

std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Few classes for small blocks, page granularity for large ones: a repeated shape always fits its
// own class exactly, and padding stays below 6 %.
std::size_t block_size(std::size_t size_bytes) {
  const std::size_t unit =
      size_bytes < small_block_bytes ? limits::buffer_alignment_bytes : page_bytes;
  return round_up(std::max<std::size_t>(size_bytes, 1), unit);
}

struct Mapping {
  std::byte* data;
  std::size_t size_bytes;
};

}  // namespace

struct AllocatorCore {
  std::string name;
  std::size_t limit_bytes = 0;
  bool backed = true;
  std::mutex mutex;
  std::deque<Buffer> nodes;  // stable addresses; recycled through the free lists
  std::unordered_map<std::size_t, std::vector<Buffer*>> free_blocks;
  std::vector<Mapping> mappings;
  std::byte* slab_cursor = nullptr;
  std::size_t slab_left_bytes = 0;
  MemoryUse use;

  ~AllocatorCore() {
    for (const Mapping& mapping : mappings) munmap(mapping.data, mapping.size_bytes);
  }

  std::byte* map(std::size_t size_bytes) {
    if (limit_bytes != 0 && use.reserved_bytes + size_bytes > limit_bytes) return nullptr;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (backed ? 0 : MAP_NORESERVE);
    void* memory =
        mmap(nullptr, size_bytes, backed ? PROT_READ | PROT_WRITE : PROT_NONE, flags, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    if (backed) madvise(memory, size_bytes, MADV_HUGEPAGE);
    mappings.push_back({static_cast<std::byte*>(memory), size_bytes});
    use.reserved_bytes += size_bytes;
    ++use.system_calls;
    return mappings.back().data;
  }

  std::byte* carve(std::size_t block_bytes) {
    if (block_bytes >= slab_bytes / 4) return map(round_up(block_bytes, page_bytes));
    if (slab_left_bytes < block_bytes) {
      std::byte* slab = map(slab_bytes);
      if (slab == nullptr) return nullptr;
      slab_cursor = slab;
      slab_left_bytes = slab_bytes;
    }
    std::byte* block = slab_cursor;
    slab_cursor += block_bytes;
    slab_left_bytes -= block_bytes;
    return block;
  }

  Buffer* take(std::size_t size_bytes) {
    const std::size_t block_bytes = block_size(size_bytes);
    const std::lock_guard lock(mutex);
    std::vector<Buffer*>& free_list = free_blocks[block_bytes];
    Buffer* buffer = nullptr;
    if (!free_list.empty()) {
      buffer = free_list.back();
      free_list.pop_back();
    } else {
      std::byte* data = carve(block_bytes);
      if (data == nullptr) return nullptr;
      buffer = &nodes.emplace_back();
      buffer->data_ = data;
      buffer->block_bytes_ = block_bytes;
    }
    buffer->size_bytes_ = size_bytes;
    use.live_bytes += block_bytes;
    use.peak_bytes = std::max(use.peak_bytes, use.live_bytes);
    return buffer;
  }

  void give_back(Buffer* buffer) {
    const std::lock_guard lock(mutex);
    use.live_bytes -= buffer->block_bytes_;
    free_blocks[buffer->block_bytes_].push_back(buffer);
  }
};

void BufferRef::release() {
  if (buffer_ == nullptr) return;
  if (buffer_->references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  Buffer* buffer = std::exchange(buffer_, nullptr);
  if (buffer->home_ == nullptr) {  // borrowed memory: only the node is ours
    delete buffer;
    return;
  }
  buffer->frozen_.store(false, std::memory_order_relaxed);
  const std::shared_ptr<AllocatorCore> home = std::move(buffer->home_);
  home->give_back(buffer);
}

Allocator::Allocator(std::string name, std::size_t limit_bytes, bool backed)
    : core_(std::make_shared<AllocatorCore>()) {
  core_->backed = backed;
  core_->name = std::move(name);
  core_->limit_bytes = limit_bytes;
}

bool Allocator::backed() const {
  return core_->backed;
}

Result<BufferRef> Allocator::try_allocate(std::size_t size_bytes) {
  Buffer* buffer = core_->take(size_bytes);
  if (buffer == nullptr) {
    return make_error(ErrorCode::out_of_memory,
                      "{}: no memory for {} more bytes ({} reserved, limit {}); use a smaller "
                      "micro-batch, recompute or a larger grid",
                      core_->name, size_bytes, use().reserved_bytes, core_->limit_bytes);
  }
  buffer->home_ = core_;
  return BufferRef(buffer);
}

BufferRef Allocator::allocate(std::size_t size_bytes) {
  Result<BufferRef> buffer = try_allocate(size_bytes);
  COLLIE_CHECK(buffer.ok(), "{}", buffer.error().message);
  return std::move(buffer).value();
}

BufferRef Allocator::borrow(const std::byte* data, std::size_t size_bytes,
                            std::shared_ptr<const void> keeper) {
  auto* buffer = new Buffer;
  // Frozen: the const is put back by Tensor, which hands out only read access to frozen buffers.
  buffer->data_ = const_cast<std::byte*>(data);
  buffer->size_bytes_ = size_bytes;
  buffer->keeper_ = std::move(keeper);
  buffer->freeze();
  return BufferRef(buffer);
}

MemoryUse Allocator::use() const {
  const std::lock_guard lock(core_->mutex);
  return core_->use;
}

void Allocator::reset_peak() {
  const std::lock_guard lock(core_->mutex);
  core_->use.peak_bytes = core_->use.live_bytes;
}

}  // namespace collie
