// An in-order queue of device work. A shard owns one stream: it submits host functions that call
// kernels, and hears of their completion through a callback. Nothing above kernels/ waits for it.
//
// On a CPU the functions run one after the other on the stream's worker thread (or in the caller,
// for the simulated world), and the kernels they call split their work over the stream's lanes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "runtime/device.hpp"
#include "runtime/tensor.hpp"

namespace collie {

struct StreamOptions {
  Device device;
  std::string name = "stream";
  int threads = 1;                     // lanes that split one kernel's work
  std::size_t memory_limit_bytes = 0;  // 0: no cap
  bool inline_execution = false;       // run in the caller of submit(); for simulation and tools
};

class Stream {
 public:
  explicit Stream(StreamOptions options);
  ~Stream();  // finishes what was submitted
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // ---- for the owner: never blocks --------------------------------------------------------------
  // work runs after all work submitted before; then done runs, on the stream's thread (it should
  // only post a message). After an error has been set, work is skipped and done still runs.
  void submit(std::function<void()> work, std::function<void()> done = {});
  // Blocks until all submitted work is done. For tests, tools and the end of a run.
  void synchronize();
  // A device's error rides on its stream: set once by a kernel, seen by whoever waits.
  void set_error(Error error);
  Status status() const;

  // ---- for kernels: only from inside submitted work ---------------------------------------------
  const Device& device() const;
  int threads() const;
  // Runs task(index, lane) for every index in [0, count), each exactly once; lane < threads().
  // Which lane runs which index is not fixed, so a task must not depend on its lane except for
  // scratch; results then do not depend on the number of threads.
  void parallel_for(std::int64_t count,
                    const std::function<void(std::int64_t index, int lane)>& task);
  Tensor allocate(DType dtype, const Shape& shape);
  Allocator& allocator();
  // Scratch of one lane, 64-byte aligned, valid until the lane's next call; grows, never shrinks.
  std::byte* scratch(int lane, std::size_t size_bytes);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace collie
