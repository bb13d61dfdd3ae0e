// The oracle: a run ends with bit-identical parameters whatever the message timing, the synchronous
// schedule and the division into stages.
#define BOOST_TEST_MODULE oracle
#include <boost/test/unit_test.hpp>
#include <set>

#include "tests/sim/tiny_grid.hpp"

using namespace collie;
using namespace collie::testing;

namespace {
constexpr int oracle_steps = 20;
}

BOOST_AUTO_TEST_CASE(a_thousand_interleavings_end_in_the_same_parameters) {
  const TinyRun run{.grid = {2, 1, 2}};
  const std::uint64_t expected = simulate(run, 0, oracle_steps).hash;
  for (std::uint64_t seed = 1; seed < 1000; ++seed) {
    BOOST_REQUIRE_EQUAL(simulate(run, seed, oracle_steps).hash, expected);
  }
}

BOOST_AUTO_TEST_CASE(interleavings_with_tensor_shards_end_in_the_same_parameters) {
  const TinyRun run{.grid = {2, 2, 2}};
  const std::uint64_t expected = simulate(run, 0, 2).hash;
  for (std::uint64_t seed = 1; seed < 100; ++seed) {
    BOOST_REQUIRE_EQUAL(simulate(run, seed, 2).hash, expected);
  }
}

BOOST_AUTO_TEST_CASE(duplicates_and_reordering_change_nothing) {
  const TinyRun run{.grid = {2, 2, 2}};
  const std::uint64_t expected = simulate(run, 0, 3).hash;
  for (std::uint64_t seed = 1; seed < 50; ++seed) {
    TinyGrid grid(run);
    auto world =
        make_simulated_world(grid.options(), grid.executors(),
                             {.seed = seed, .duplicate_probability = 0.3, .reorder = true});
    BOOST_REQUIRE_EQUAL(train(*world, grid, 3).hash, expected);
  }
}

BOOST_AUTO_TEST_CASE(gpipe_and_1f1b_end_in_the_same_parameters) {
  for (const int pp : {1, 2, 4}) {
    TinyRun run{.grid = {1, 1, pp}};
    const TinyOutcome one_f_one_b_run = simulate(run, 1, oracle_steps);
    run.schedule = "gpipe";
    BOOST_CHECK_EQUAL(simulate(run, 2, oracle_steps).hash, one_f_one_b_run.hash);
  }
}

BOOST_AUTO_TEST_CASE(the_number_of_stages_does_not_change_the_parameters) {
  for (const char* family : {"llama", "gpt2", "qwen3"}) {
    for (const bool tied : {false, true}) {
      TinyRun run{.grid = {1, 1, 1}, .family = family, .tied = tied};
      const TinyOutcome whole = simulate(run, 1, oracle_steps);
      for (const int pp : {2, 3, 4}) {
        run.grid.pp = pp;
        const TinyOutcome divided = simulate(run, 1, oracle_steps);
        BOOST_CHECK_MESSAGE(divided.hash == whole.hash, family << " tied " << tied << " pp " << pp);
        BOOST_CHECK(divided.losses == whole.losses);
        BOOST_CHECK(divided.norms == whole.norms);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(recomputation_does_not_change_the_parameters) {
  TinyRun run{.grid = {1, 1, 2}};
  const std::uint64_t expected = simulate(run, 1, 5).hash;
  for (const Recompute recompute : {Recompute::attention, Recompute::full}) {
    run.recompute = recompute;
    BOOST_CHECK_EQUAL(simulate(run, 1, 5).hash, expected);
  }
}

BOOST_AUTO_TEST_CASE(different_data_or_seed_gives_different_parameters) {
  // The oracle would be worthless if the hash did not see what changes.
  std::set<std::uint64_t> hashes;
  for (const int micro_batches : {1, 2, 3, 4}) {
    hashes.insert(simulate({.grid = {1, 1, 1}, .micro_batches = micro_batches}, 0, 2).hash);
  }
  BOOST_CHECK_EQUAL(hashes.size(), 4U);
}
