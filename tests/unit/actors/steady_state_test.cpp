// A step that repeats the shapes of the step before asks the system for nothing.
#define BOOST_TEST_MODULE steady_state
#include <boost/test/unit_test.hpp>

#include "tests/unit/actors/measured_grid.hpp"

using namespace collie;
using namespace collie::testing;

BOOST_AUTO_TEST_CASE(after_two_steps_no_shard_asks_for_memory) {
  for (const char* dtype : {"float32", "bfloat16"}) {
    MeasuredGrid grid(
        proportioned_config({"grid.dp=2", "grid.pp=2", std::string("model.dtype=") + dtype}));
    grid.train(2);
    std::vector<MemoryUse> before;
    for (int i = 0; i < 4; ++i) before.push_back(grid.memory_of(i));
    for (int step = 0; step < 5; ++step) {
      grid.train(1);
      for (std::size_t i = 0; i < before.size(); ++i) {
        const MemoryUse now = grid.memory_of(static_cast<int>(i));
        BOOST_CHECK_EQUAL(now.system_calls, before[i].system_calls);
        BOOST_CHECK_EQUAL(now.reserved_bytes, before[i].reserved_bytes);
        BOOST_CHECK_GT(now.system_calls, 0U);
      }
    }
  }
}
