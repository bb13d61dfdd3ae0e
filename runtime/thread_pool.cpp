#include "runtime/thread_pool.hpp"

#include <pthread.h>
#include <sched.h>

#include <chrono>
#include <limits>
#include <utility>

#include "runtime/check.hpp"
#include "runtime/limits.hpp"

namespace collie {

namespace {

using Clock = std::chrono::steady_clock;

// Kernels of one action follow each other within microseconds: a lane that is still awake starts
// the next one at once, where waking it costs 5 to 50 us.
constexpr auto spin_time = std::chrono::microseconds(40);
constexpr int pauses_per_clock_read = 16;

// Lanes of all pools of the process: spinning only pays while each of them can have a core.
std::atomic<int> lanes_in_process{0};

void cpu_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

template <class Condition>
bool spin_until(const Condition& condition) {
  const auto deadline = Clock::now() + spin_time;
  do {
    for (int i = 0; i < pauses_per_clock_read; ++i) {
      if (condition()) return true;
      cpu_pause();
    }
  } while (Clock::now() < deadline);
  return condition();
}

}  // namespace

int usable_core_count() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
  const unsigned count = std::thread::hardware_concurrency();
  return count == 0 ? 1 : static_cast<int>(count);
}

void set_thread_name(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
}

ThreadPool::ThreadPool(int threads, std::string name) : threads_(threads), name_(std::move(name)) {
  COLLIE_CHECK(threads >= 1 && threads <= limits::threads_per_stream_max, "{} threads", threads);
  lanes_in_process.fetch_add(threads_, std::memory_order_relaxed);
  helpers_.reserve(static_cast<std::size_t>(threads_ - 1));
  for (int lane = 1; lane < threads_; ++lane) {
    helpers_.emplace_back([this, lane] { helper_loop(lane); });
  }
}

ThreadPool::~ThreadPool() {
  stopping_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  helpers_.clear();
  lanes_in_process.fetch_sub(threads_, std::memory_order_relaxed);
}

bool ThreadPool::may_spin() const {
  static const int cores = usable_core_count();
  return lanes_in_process.load(std::memory_order_relaxed) <= cores;
}

void ThreadPool::run(std::int64_t count, const Task& task) {
  COLLIE_CHECK(count >= 0 && count <= std::numeric_limits<std::uint32_t>::max(), "{} tasks", count);
  COLLIE_CHECK(!running_.exchange(true, std::memory_order_acquire),
               "parallel_for inside another parallel_for of the same stream");
  if (threads_ == 1 || count <= 1) {
    for (std::int64_t index = 0; index < count; ++index) task(index, 0);
  } else {
    task_ = &task;
    count_ = static_cast<std::uint32_t>(count);
    completed_.store(0, std::memory_order_relaxed);
    const std::uint64_t run_number = (claims_.load(std::memory_order_relaxed) >> 32) + 1;
    claims_.store((run_number << 32) | count_, std::memory_order_release);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    work_off(0);
    await_completion(count_);
  }
  running_.store(false, std::memory_order_release);
}

// A claimed task keeps the run alive, so task_ and count_ may be read once a claim succeeded.
void ThreadPool::work_off(int lane) {
  std::uint64_t claims = claims_.load(std::memory_order_acquire);
  while (true) {
    const auto left = static_cast<std::uint32_t>(claims);
    if (left == 0) return;
    if (!claims_.compare_exchange_weak(claims, claims - 1, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
      continue;
    }
    const std::uint32_t count = count_;
    (*task_)(count - left, lane);
    if (completed_.fetch_add(1, std::memory_order_acq_rel) + 1 == count) completed_.notify_one();
    claims = claims_.load(std::memory_order_acquire);
  }
}

void ThreadPool::await_completion(std::uint32_t count) {
  const auto complete = [&] { return completed_.load(std::memory_order_acquire) == count; };
  if (complete() || (may_spin() && spin_until(complete))) return;
  for (auto done = completed_.load(std::memory_order_acquire); done != count;
       done = completed_.load(std::memory_order_acquire)) {
    completed_.wait(done, std::memory_order_acquire);
  }
}

std::uint32_t ThreadPool::await_generation(std::uint32_t seen) {
  const auto changed = [&] { return generation_.load(std::memory_order_acquire) != seen; };
  if (!changed() && !(may_spin() && spin_until(changed))) {
    generation_.wait(seen, std::memory_order_acquire);
  }
  return generation_.load(std::memory_order_acquire);
}

void ThreadPool::helper_loop(int lane) {
  set_thread_name(name_.substr(0, 11) + "." + std::to_string(lane));
  std::uint32_t seen = 0;
  while (true) {
    seen = await_generation(seen);
    if (stopping_.load(std::memory_order_relaxed)) return;
    work_off(lane);
  }
}

}  // namespace collie
