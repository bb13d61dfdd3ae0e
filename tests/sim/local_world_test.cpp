// The same runs with CAF actors and real streams, whatever the number of threads.
#define BOOST_TEST_MODULE local_world
#include <boost/test/unit_test.hpp>

#include "tests/sim/tiny_grid.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

TinyOutcome run_locally(TinyRun run, int scheduler_threads, int steps) {
  run.inline_streams = false;
  TinyGrid grid(run);
  auto world = make_local_world(grid.options(), grid.executors(), scheduler_threads);
  return train(*world, grid, steps);
}

}  // namespace

BOOST_AUTO_TEST_CASE(actors_and_simulation_end_in_the_same_parameters) {
  for (const Grid& grid : {Grid{1, 1, 1}, Grid{1, 1, 2}, Grid{2, 1, 2}, Grid{2, 2, 2}}) {
    const TinyRun run{.grid = grid};
    BOOST_CHECK_EQUAL(run_locally(run, 1, 20).hash, simulate(run, 5, 20).hash);
  }
}

BOOST_AUTO_TEST_CASE(a_loss_in_several_chunks_is_shared_by_tensor_shards) {
  // 400 tokens are two chunks of logits: what is gathered for the first must outlive the second.
  TinyRun run{.grid = {1, 2, 2}};
  run.micro_batches = 2;
  run.rows = 50;
  const TinyOutcome shards = run_locally(run, 1, 5);
  BOOST_CHECK_EQUAL(shards.hash, simulate(run, 1, 5).hash);
  run.grid = {1, 1, 1};
  const TinyOutcome alone = simulate(run, 1, 5);
  for (std::size_t step = 0; step < 5; ++step) {
    BOOST_CHECK_CLOSE(shards.losses[step], alone.losses[step], 1e-3);
  }
}

BOOST_AUTO_TEST_CASE(scheduler_threads_do_not_change_the_parameters) {
  const TinyRun run{.grid = {2, 1, 2}};
  const std::uint64_t expected = run_locally(run, 1, 20).hash;
  BOOST_CHECK_EQUAL(run_locally(run, 2, 20).hash, expected);
  BOOST_CHECK_EQUAL(run_locally(run, 3, 20).hash, expected);
}

BOOST_AUTO_TEST_CASE(threads_inside_an_operator_do_not_change_the_parameters) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    TinyRun run{.grid = {1, 1, 2}, .dtype = dtype};
    const std::uint64_t expected = run_locally(run, 1, 20).hash;
    for (const int threads : {2, 3}) {
      run.threads = threads;
      BOOST_CHECK_EQUAL(run_locally(run, 1, 20).hash, expected);
    }
  }
}
