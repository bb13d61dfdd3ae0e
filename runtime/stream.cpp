#include "runtime/stream.hpp"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/thread_pool.hpp"

namespace collie {

namespace {

constexpr std::size_t scratch_bytes_min = 64 * 1024;

struct Job {
  std::function<void()> work;
  std::function<void()> done;
};

struct alignas(64) Lane {
  BufferRef scratch;
};

}  // namespace

struct Stream::Impl {
  explicit Impl(StreamOptions stream_options)
      : options(std::move(stream_options)),
        allocator(options.name, options.memory_limit_bytes,
                  options.device.kind != DeviceKind::meta),
        pool(options.threads, options.name),
        lanes(static_cast<std::size_t>(options.threads)) {}

  void run(Job& job) {
    if (!failed()) job.work();
    job.work = nullptr;  // what the work captured is freed before its owner hears of the end
    if (job.done) job.done();
  }
  bool failed() const {
    const std::lock_guard lock(error_mutex);
    return error.has_value();
  }
  void worker_loop();

  StreamOptions options;
  Allocator allocator;
  ThreadPool pool;
  std::vector<Lane> lanes;

  mutable std::mutex error_mutex;
  std::optional<Error> error;

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Job> jobs;
  bool busy = false;
  bool stopping = false;
  std::jthread worker;  // last: it uses everything above
};

void Stream::Impl::worker_loop() {
  set_thread_name(options.name);
  std::unique_lock lock(mutex);
  while (true) {
    changed.wait(lock, [&] { return stopping || !jobs.empty(); });
    if (jobs.empty()) return;
    {
      Job job = std::move(jobs.front());
      jobs.pop_front();
      busy = true;
      lock.unlock();
      run(job);
    }
    lock.lock();
    busy = false;
    if (jobs.empty()) changed.notify_all();
  }
}

Stream::Stream(StreamOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  if (!impl_->options.inline_execution) {
    impl_->worker = std::jthread([impl = impl_.get()] { impl->worker_loop(); });
  }
}

Stream::~Stream() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->changed.notify_all();
}

void Stream::submit(std::function<void()> work, std::function<void()> done) {
  COLLIE_CHECK(work != nullptr, "submit without work");
  Job job{std::move(work), std::move(done)};
  if (impl_->options.inline_execution) {
    impl_->run(job);
    return;
  }
  {
    const std::lock_guard lock(impl_->mutex);
    COLLIE_CHECK(!impl_->stopping, "submit to a stream that is being destroyed");
    impl_->jobs.push_back(std::move(job));
  }
  impl_->changed.notify_all();
}

void Stream::synchronize() {
  if (impl_->options.inline_execution) return;
  COLLIE_CHECK(std::this_thread::get_id() != impl_->worker.get_id(),
               "synchronize from the stream's own thread");
  std::unique_lock lock(impl_->mutex);
  impl_->changed.wait(lock, [&] { return impl_->jobs.empty() && !impl_->busy; });
}

void Stream::set_error(Error error) {
  const std::lock_guard lock(impl_->error_mutex);
  if (!impl_->error) impl_->error = std::move(error);
}

Status Stream::status() const {
  const std::lock_guard lock(impl_->error_mutex);
  if (impl_->error) return *impl_->error;
  return ok_status();
}

const Device& Stream::device() const {
  return impl_->options.device;
}
int Stream::threads() const {
  return impl_->pool.threads();
}
Allocator& Stream::allocator() {
  return impl_->allocator;
}

void Stream::parallel_for(std::int64_t count, const std::function<void(std::int64_t, int)>& task) {
  COLLIE_CHECK(
      impl_->options.inline_execution || std::this_thread::get_id() == impl_->worker.get_id(),
      "parallel_for outside the work of its stream");
  impl_->pool.run(count, task);
}

Tensor Stream::allocate(DType dtype, const Shape& shape) {
  return allocate_tensor(impl_->allocator, dtype, shape);
}

std::byte* Stream::scratch(int lane, std::size_t size_bytes) {
  COLLIE_CHECK(lane >= 0 && lane < threads(), "lane {} of {}", lane, threads());
  BufferRef& scratch = impl_->lanes[static_cast<std::size_t>(lane)].scratch;
  if (!scratch || scratch->size_bytes() < size_bytes) {
    scratch = BufferRef();  // returned to the pool before more is taken
    scratch = impl_->allocator.allocate(std::bit_ceil(std::max(size_bytes, scratch_bytes_min)));
  }
  return scratch->data();
}

}  // namespace collie
