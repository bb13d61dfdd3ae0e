// Buffers and the capped, caching pool they come from. One pool belongs to one stream; a buffer may
// be dropped on any thread and then returns to the pool it came from, so a step that repeats the
// shapes of the step before allocates nothing.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>

#include "runtime/result.hpp"

namespace collie {

class Allocator;
struct AllocatorCore;

// A reference-counted block of memory, aligned to limits::buffer_alignment_bytes.
class Buffer {
 public:
  std::byte* data() const { return data_; }
  std::size_t size_bytes() const { return size_bytes_; }
  // A buffer that has been sent belongs to all its readers: nobody may write it any more.
  bool frozen() const { return frozen_.load(std::memory_order_relaxed); }
  void freeze() { frozen_.store(true, std::memory_order_relaxed); }

 private:
  friend class Allocator;
  friend struct AllocatorCore;
  friend class BufferRef;
  std::byte* data_ = nullptr;
  std::size_t size_bytes_ = 0;   // what was asked for
  std::size_t block_bytes_ = 0;  // what it occupies
  std::atomic<int> references_{0};
  std::atomic<bool> frozen_{false};
  std::shared_ptr<AllocatorCore> home_;  // set while the buffer is in use
  std::shared_ptr<const void> keeper_;   // owner of borrowed memory (a mapped file)
};

// Shared ownership of a Buffer.
class BufferRef {
 public:
  BufferRef() = default;
  explicit BufferRef(Buffer* buffer) : buffer_(buffer) { retain(); }
  BufferRef(const BufferRef& other) : buffer_(other.buffer_) { retain(); }
  BufferRef(BufferRef&& other) noexcept : buffer_(std::exchange(other.buffer_, nullptr)) {}
  BufferRef& operator=(BufferRef other) noexcept {
    std::swap(buffer_, other.buffer_);
    return *this;
  }
  ~BufferRef() { release(); }

  Buffer* get() const { return buffer_; }
  Buffer* operator->() const { return buffer_; }
  explicit operator bool() const { return buffer_ != nullptr; }
  bool unique() const {
    return buffer_ != nullptr && buffer_->references_.load(std::memory_order_acquire) == 1;
  }

 private:
  void retain() {
    if (buffer_ != nullptr) buffer_->references_.fetch_add(1, std::memory_order_relaxed);
  }
  void release();
  Buffer* buffer_ = nullptr;
};

struct MemoryUse {
  std::size_t live_bytes = 0;      // in use now
  std::size_t peak_bytes = 0;      // most ever in use at once
  std::size_t reserved_bytes = 0;  // taken from the system
  std::size_t system_calls = 0;    // how often the system was asked; constant in the steady state
};

// Thread-safe. Copies share one pool.
class Allocator {
 public:
  // limit_bytes caps what the pool may reserve; 0 means no cap.
  // Not backed: addresses are handed out and counted, but nothing may be read or written there.
  explicit Allocator(std::string name, std::size_t limit_bytes = 0, bool backed = true);
  bool backed() const;

  // Contents are undefined. Fails with out_of_memory at the cap or when the system refuses.
  Result<BufferRef> try_allocate(std::size_t size_bytes);
  // For work that was planned: running out is then a broken plan and stops the process.
  BufferRef allocate(std::size_t size_bytes);

  // Wraps memory owned by somebody else (a mapped file); the buffer is frozen from the start.
  static BufferRef borrow(const std::byte* data, std::size_t size_bytes,
                          std::shared_ptr<const void> keeper);

  MemoryUse use() const;
  void reset_peak();

 private:
  std::shared_ptr<AllocatorCore> core_;
};

}  // namespace collie
