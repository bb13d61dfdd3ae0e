// The lanes of one stream. The thread that calls run() is lane 0; the others belong to the pool.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace collie {

// Processors this process may use (its affinity mask).
int usable_core_count();
// For debuggers and profilers; cut to the 15 characters that Linux keeps.
void set_thread_name(const std::string& name);

class ThreadPool {
 public:
  using Task = std::function<void(std::int64_t index, int lane)>;

  ThreadPool(int threads, std::string name);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }
  // Runs task for every index in [0, count) and returns when all are done. One call at a time:
  // a nested or concurrent call is a programmer's error.
  void run(std::int64_t count, const Task& task);

 private:
  void helper_loop(int lane);
  std::uint32_t await_generation(std::uint32_t seen);
  void await_completion(std::uint32_t count);
  void work_off(int lane);
  bool may_spin() const;

  // Written by run() before it publishes the claim word, read only by lanes that claimed a task.
  const Task* task_ = nullptr;
  std::uint32_t count_ = 0;

  int threads_;
  std::string name_;
  std::atomic<bool> running_{false};
  std::atomic<bool> stopping_{false};
  // High half: number of the run; low half: tasks not yet claimed. A lane that wakes late can thus
  // neither claim a task of a run that is over nor mistake a new run for the old one.
  alignas(64) std::atomic<std::uint64_t> claims_{0};
  alignas(64) std::atomic<std::uint32_t> completed_{0};
  alignas(64) std::atomic<std::uint32_t> generation_{0};
  std::vector<std::jthread> helpers_;
};

}  // namespace collie
