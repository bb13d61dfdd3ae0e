#define BOOST_TEST_MODULE stream
#include "runtime/stream.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

namespace collie {
namespace {

StreamOptions options(int threads, bool inline_execution = false) {
  return {.device = {}, .name = "test", .threads = threads, .inline_execution = inline_execution};
}

// Whether the function ends its process abnormally: programmer's errors stop the program.
bool dies(const std::function<void()>& function) {
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGABRT, SIG_DFL);  // the test framework would report it
    if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(0);
    function();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) != 0);
}

BOOST_AUTO_TEST_CASE(work_and_done_run_in_order) {
  std::vector<int> events;
  {
    Stream stream(options(1));
    for (int i = 0; i < 100; ++i) {
      stream.submit([&events, i] { events.push_back(2 * i); },
                    [&events, i] { events.push_back(2 * i + 1); });
    }
    stream.synchronize();
    BOOST_TEST(events.size() == 200U);
    stream.submit([&events] {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      events.push_back(200);
    });
  }
  BOOST_REQUIRE(events.size() == 201U);
  for (int i = 0; i <= 200; ++i) BOOST_TEST(events[static_cast<std::size_t>(i)] == i);
}

BOOST_AUTO_TEST_CASE(submit_does_not_wait_for_the_work) {
  std::atomic<bool> go{false};
  std::atomic<bool> ran{false};
  Stream stream(options(2));
  stream.submit([&] {
    go.wait(false);
    ran = true;
  });
  BOOST_TEST(!ran);
  go = true;
  go.notify_all();
  stream.synchronize();
  BOOST_TEST(ran);
}

BOOST_AUTO_TEST_CASE(inline_execution_runs_in_the_caller) {
  Stream stream(options(2, true));
  const auto caller = std::this_thread::get_id();
  std::vector<int> events;
  stream.submit(
      [&] {
        events.push_back(1);
        BOOST_TEST((std::this_thread::get_id() == caller));
      },
      [&] { events.push_back(2); });
  BOOST_TEST(events == (std::vector<int>{1, 2}), boost::test_tools::per_element());
}

void each_index_once(int threads, std::int64_t count) {
  Stream stream(options(threads));
  std::vector<std::atomic<int>> runs(static_cast<std::size_t>(count));
  std::atomic<int> bad_lanes{0};
  stream.submit([&] {
    stream.parallel_for(count, [&](std::int64_t index, int lane) {
      if (lane < 0 || lane >= threads) ++bad_lanes;
      ++runs[static_cast<std::size_t>(index)];
    });
  });
  stream.synchronize();
  BOOST_TEST(bad_lanes == 0);
  for (const auto& run : runs) BOOST_TEST(run == 1);
}

BOOST_AUTO_TEST_CASE(parallel_for_runs_each_index_once) {
  for (const int threads : {1, 2, 3, 5}) {
    for (const std::int64_t count : {0, 1, 2, 7, 1000}) each_index_once(threads, count);
  }
}

BOOST_AUTO_TEST_CASE(parallel_for_returns_after_its_last_task) {
  // Thousands of short runs back to back: a lane that wakes late must not touch a later run.
  Stream stream(options(3));
  std::int64_t total = 0;
  stream.submit([&] {
    for (int round = 0; round < 20'000; ++round) {
      std::vector<std::int64_t> squares(static_cast<std::size_t>(2 + round % 5));
      stream.parallel_for(static_cast<std::int64_t>(squares.size()), [&](std::int64_t i, int) {
        squares[static_cast<std::size_t>(i)] = i * i;
      });
      for (const std::int64_t square : squares) total += square;
    }
  });
  stream.synchronize();
  BOOST_TEST(total == 4000 * (1 + 5 + 14 + 30 + 55));
}

BOOST_AUTO_TEST_CASE(parallel_for_waits_for_its_slowest_lane) {
  // Both tasks meet, so each runs on a lane of its own; then the helper's one dawdles.
  Stream stream(options(2));
  std::atomic<int> met{0};
  std::atomic<bool> slow_lane_done{false};
  bool returned_too_early = true;
  stream.submit([&] {
    stream.parallel_for(2, [&](std::int64_t, int lane) {
      ++met;
      while (met < 2) std::this_thread::yield();
      if (lane == 0) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      slow_lane_done = true;
    });
    returned_too_early = !slow_lane_done;
  });
  stream.synchronize();
  BOOST_TEST(!returned_too_early);
}

BOOST_AUTO_TEST_CASE(lanes_that_slept_wake_up) {
  Stream stream(options(2));
  std::atomic<int> done{0};
  for (int round = 0; round < 5; ++round) {
    stream.submit([&] { stream.parallel_for(2, [&](std::int64_t, int) { ++done; }); });
    stream.synchronize();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  BOOST_TEST(done == 10);
}

BOOST_AUTO_TEST_CASE(an_error_skips_later_work_but_not_done) {
  Stream stream(options(1));
  bool later_work = false;
  int done = 0;
  stream.submit([&] { stream.set_error({ErrorCode::out_of_memory, "first"}); }, [&] { ++done; });
  stream.submit([&] { later_work = true; }, [&] { ++done; });
  stream.synchronize();
  stream.set_error({ErrorCode::lost, "second"});
  BOOST_TEST(!later_work);
  BOOST_TEST(done == 2);
  BOOST_REQUIRE(!stream.status().ok());
  BOOST_TEST(stream.status().error().message == "first");
}

BOOST_AUTO_TEST_CASE(scratch_is_aligned_private_and_kept) {
  Stream stream(options(2, true));
  std::byte* first = stream.scratch(0, 100);
  std::byte* other = stream.scratch(1, 100);
  BOOST_TEST(first != other);
  std::memset(first, 1, 100);
  std::memset(other, 2, 100);
  BOOST_TEST(std::to_integer<int>(first[99]) == 1);
  BOOST_TEST(stream.scratch(0, 50) == first);
  std::byte* larger = stream.scratch(0, 5 << 20);
  std::memset(larger, 3, 5 << 20);
  BOOST_TEST(reinterpret_cast<std::uintptr_t>(larger) % 64 == 0U);
  const std::size_t calls = stream.allocator().use().system_calls;
  BOOST_TEST(stream.scratch(0, 5 << 20) == larger);
  BOOST_TEST(stream.allocator().use().system_calls == calls);
}

BOOST_AUTO_TEST_CASE(the_stream_frees_what_work_captured_before_done) {
  Stream stream(options(1));
  auto captured = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = captured;
  bool expired = false;
  stream.submit([captured = std::move(captured)] {}, [&] { expired = watch.expired(); });
  stream.synchronize();
  BOOST_TEST(expired);
}

BOOST_AUTO_TEST_CASE(misuse_stops_the_process) {
  BOOST_TEST(!dies([] { Stream(options(1)).synchronize(); }));
  BOOST_TEST(dies([] {
    Stream stream(options(1, true));
    stream.parallel_for(1, [&](std::int64_t, int) { stream.parallel_for(1, [](auto, int) {}); });
  }));
  BOOST_TEST(dies([] { Stream(options(1)).parallel_for(1, [](std::int64_t, int) {}); }));
  BOOST_TEST(dies([] { Stream stream(options(0)); }));
  BOOST_TEST(dies([] { Stream(options(2)).scratch(2, 1); }));
}

BOOST_AUTO_TEST_CASE(devices) {
  BOOST_TEST(device_count(DeviceKind::cpu) == 1);
  BOOST_TEST(device_count(DeviceKind::cuda) >= 0);
  BOOST_TEST(describe({}).starts_with("cpu ("));
  BOOST_TEST(describe({DeviceKind::cuda, 3}).starts_with("cuda:3"));
}

}  // namespace
}  // namespace collie
