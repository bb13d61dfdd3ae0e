// What a world takes from whoever makes it.
#define BOOST_TEST_MODULE world
#include "actors/world.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <csignal>

#include "tests/sim/tiny_grid.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

// Whether making it in a process of its own ends with a failed check.
template <class Make>
bool is_refused(Make make) {
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGABRT, SIG_DFL);
    make();
    _exit(0);
  }
  int status = 0;
  BOOST_REQUIRE_EQUAL(waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_world_takes_exactly_one_executor_for_each_shard) {
  TinyGrid grid({.grid = {1, 1, 2}});
  const Executors all = grid.executors();
  BOOST_CHECK(!is_refused([&] { make_simulated_world(grid.options(), all, {}); }));
  BOOST_CHECK(!is_refused([&] { make_local_world(grid.options(), all, 1); }));
  Executors too_many = all;
  too_many.push_back(all.front());
  for (const Executors& wrong : {Executors{}, Executors{all.front()}, too_many}) {
    BOOST_CHECK(is_refused([&] { make_simulated_world(grid.options(), wrong, {}); }));
    BOOST_CHECK(is_refused([&] { make_local_world(grid.options(), wrong, 1); }));
  }
}
