#define BOOST_TEST_MODULE allocator
#include "runtime/allocator.hpp"

#include <array>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "runtime/limits.hpp"
#include "tests/unit/runtime/temporary_directory.hpp"

using namespace collie;
using collie::test::check_error;

BOOST_AUTO_TEST_CASE(buffers_are_aligned_and_apart) {
  Allocator allocator("test");
  std::vector<BufferRef> buffers;
  for (const std::size_t size : {1u, 63u, 64u, 65u, 5000u, 70'000u, 0u, 20'000'000u}) {
    buffers.push_back(allocator.allocate(size));
    BOOST_TEST(buffers.back()->size_bytes() == size);
    const auto address = reinterpret_cast<std::uintptr_t>(buffers.back()->data());
    BOOST_TEST(address % limits::buffer_alignment_bytes == 0u);
  }
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    std::memset(buffers[i]->data(), static_cast<int>(i) + 1, buffers[i]->size_bytes());
  }
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    for (std::size_t at = 0; at < buffers[i]->size_bytes(); at += 61) {
      BOOST_REQUIRE(buffers[i]->data()[at] == static_cast<std::byte>(i + 1));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_repeated_step_asks_the_system_for_nothing) {
  Allocator allocator("test");
  const auto step = [&] {
    std::vector<BufferRef> live;
    for (const std::size_t size : {100u, 100u, 4000u, 1'000'000u, 9'000'000u}) {
      live.push_back(allocator.allocate(size));
    }
  };
  step();
  const MemoryUse first = allocator.use();
  BOOST_TEST(first.live_bytes == 0u);
  BOOST_TEST(first.peak_bytes >= 10'004'200u);
  for (int i = 0; i < 10; ++i) step();
  BOOST_TEST(allocator.use().system_calls == first.system_calls);
  BOOST_TEST(allocator.use().reserved_bytes == first.reserved_bytes);
  allocator.reset_peak();
  BOOST_TEST(allocator.use().peak_bytes == 0u);
}

BOOST_AUTO_TEST_CASE(references_are_counted) {
  Allocator allocator("test");
  BufferRef first = allocator.allocate(1000);
  BOOST_CHECK(first.unique());
  BufferRef second = first;
  BOOST_CHECK(!first.unique());
  BufferRef moved = std::move(second);
  first = BufferRef();
  BOOST_CHECK(moved.unique());
  BOOST_TEST(allocator.use().live_bytes > 0u);
  moved->freeze();
  std::byte* data = moved->data();
  moved = BufferRef();
  BOOST_TEST(allocator.use().live_bytes == 0u);
  const BufferRef again = allocator.allocate(1000);
  BOOST_CHECK(again->data() == data);
  BOOST_CHECK(!again->frozen());  // a recycled block may be written again
}

BOOST_AUTO_TEST_CASE(the_cap_is_an_error) {
  Allocator allocator("stage 1", std::size_t{64} << 20);
  const auto first = allocator.try_allocate(std::size_t{40} << 20);
  BOOST_CHECK(first.ok());
  check_error(allocator.try_allocate(std::size_t{40} << 20), ErrorCode::out_of_memory,
              "stage 1: no memory for 41943040 more bytes");
  BOOST_CHECK(allocator.try_allocate(1000).ok() || allocator.use().reserved_bytes > 0);
}

BOOST_AUTO_TEST_CASE(borrowed_memory_keeps_its_owner) {
  auto owner = std::make_shared<std::array<std::byte, 16>>();
  const std::weak_ptr<const void> watch = owner;
  BufferRef buffer = Allocator::borrow(owner->data(), owner->size(), owner);
  owner.reset();
  BOOST_CHECK(buffer->frozen());
  BOOST_CHECK(!watch.expired());
  buffer = BufferRef();
  BOOST_CHECK(watch.expired());
}

BOOST_AUTO_TEST_CASE(buffers_outlive_the_allocator_and_come_home_from_any_thread) {
  BufferRef left;
  {
    Allocator allocator("test");
    left = allocator.allocate(100);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&allocator] {
        for (int i = 0; i < 2000; ++i) {
          const BufferRef buffer = allocator.allocate(static_cast<std::size_t>(64 * (i % 7 + 1)));
          std::memset(buffer->data(), i, buffer->size_bytes());
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    BOOST_TEST(allocator.use().live_bytes == 128u);
  }
  std::memset(left->data(), 1, left->size_bytes());
}
