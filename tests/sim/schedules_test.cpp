// Every synchronous schedule trains the same model to the last bit: one rank with GPipe is the
// reference. A bidirectional schedule is two replicas with half of the micro-batches each, so its
// reference has two.
#define BOOST_TEST_MODULE schedules
#include <boost/test/unit_test.hpp>

#include "actors/schedule/validate.hpp"
#include "tests/sim/folded.hpp"
#include "tests/sim/tiny_grid.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

constexpr int steps = 20;

struct Case {
  const char* schedule;
  int ranks;
  int micro_batches;
  int chunks = 0;  // 0: the schedule's usual number
};

// What test logs print.
std::ostream& operator<<(std::ostream& out, const Case& of) {
  return out << of.schedule << " ranks " << of.ranks << " micro-batches " << of.micro_batches
             << " chunks " << of.chunks;
}

constexpr Case one_directional[] = {{"gpipe", 4, 8},
                                    {"1f1b", 4, 8},
                                    {"interleaved", 2, 8, 2},
                                    {"interleaved", 2, 7, 2},
                                    {"interleaved", 4, 8, 2},
                                    {"looped-bfs", 2, 8, 2},
                                    {"zb-h1", 4, 8},
                                    {"zb-h2", 4, 8},
                                    {"interleaved-zb", 2, 8, 2},
                                    {"zbv", 2, 8},
                                    {"zbv", 4, 8},
                                    {"dualpipev", 2, 8},
                                    {"dualpipev", 4, 8},
                                    {"hanayo", 2, 4, 4},
                                    {"v-half", 4, 8},
                                    {"v-min", 4, 8},
                                    {"zbv-greedy", 4, 8},
                                    {"zb-1p", 4, 8},
                                    {"zb-2p", 4, 8}};
constexpr Case two_directional[] = {{"chimera", 4, 8}, {"dualpipe", 4, 8}, {"dualpipe", 2, 8}};

TinyRun run_of(const Case& wanted) {
  TinyRun run;
  run.layers = 8;
  run.grid.pp = wanted.ranks;
  run.schedule = wanted.schedule;
  run.micro_batches = wanted.micro_batches;
  run.chunks = wanted.chunks;
  return run;
}

TinyOutcome reference(TinyRun run, int replicas) {
  run.grid = {.dp = replicas};
  run.schedule = "gpipe";
  run.chunks = 0;
  run.micro_batches /= replicas;
  return simulate(run, 0, steps);
}

void check_same(const TinyOutcome& outcome, const TinyOutcome& wanted) {
  BOOST_CHECK_EQUAL(outcome.hash, wanted.hash);
  BOOST_CHECK(outcome.losses == wanted.losses);
  BOOST_CHECK(outcome.norms == wanted.norms);
}

}  // namespace

BOOST_AUTO_TEST_CASE(one_directional_schedules_train_as_one_rank) {
  for (const Case& wanted : one_directional) {
    BOOST_TEST_CONTEXT(wanted) {
      const TinyRun run = run_of(wanted);
      check_same(simulate(run, 11, steps), reference(run, 1));
    }
  }
}

BOOST_AUTO_TEST_CASE(two_directional_schedules_train_as_two_replicas) {
  for (const Case& wanted : two_directional) {
    BOOST_TEST_CONTEXT(wanted) {
      const TinyRun run = run_of(wanted);
      check_same(simulate(run, 12, steps), reference(run, 2));
    }
  }
}

// R and FENCE written into programs change when, not what.
BOOST_AUTO_TEST_CASE(recomputed_activations_are_the_same) {
  for (const Case& wanted :
       {Case{"1f1b", 4, 8}, Case{"zb-h1", 4, 8}, Case{"interleaved", 2, 8, 2}, Case{"zbv", 2, 8}}) {
    BOOST_TEST_CONTEXT(wanted) {
      TinyRun run = run_of(wanted);
      const TinyOutcome plain = simulate(run, 11, steps);
      run.given = with_recompute(TinyGrid(run).schedule());
      BOOST_CHECK_EQUAL(count_of(*run.given, Verb::recompute), count_of(*run.given, Verb::forward));
      BOOST_REQUIRE(check_schedule(*run.given).ok() && check_trainable(*run.given).ok());
      check_same(simulate(run, 11, steps), plain);
      run.recompute = Recompute::attention;
      check_same(simulate(run, 11, steps), plain);
    }
  }
}

BOOST_AUTO_TEST_CASE(recomputed_and_fenced_on_replicas_and_tensor_shards) {
  TinyRun run = run_of({"zbv", 2, 4});
  run.grid = {2, 2, 2};
  const TinyOutcome plain = simulate(run, 14, steps);
  run.given = with_recompute(TinyGrid(run).schedule());
  for (auto& program : run.given->programs) {
    const auto last = std::ranges::find(program, Verb::step, &Action::verb);
    program.insert(last, {Verb::fence});
    program.insert(program.begin(), {Verb::fence});
  }
  BOOST_REQUIRE(check_schedule(*run.given).ok() && check_trainable(*run.given).ok());
  check_same(simulate(run, 14, steps), plain);
  run.inline_streams = false;
  TinyGrid grid(run);
  auto world = make_local_world(grid.options(), grid.executors(), 2);
  check_same(train(*world, grid, steps), plain);
}

BOOST_AUTO_TEST_CASE(with_tied_embeddings_and_other_families) {
  for (const char* family : {"gpt2", "qwen3"}) {
    for (const Case& wanted : {Case{"zbv", 2, 4}, Case{"interleaved", 2, 4, 2}}) {
      BOOST_TEST_CONTEXT(family << " " << wanted) {
        TinyRun run = run_of(wanted);
        run.family = family;
        run.tied = true;
        check_same(simulate(run, 13, steps), reference(run, 1));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(on_grids_with_replicas_and_tensor_shards) {
  for (const Grid grid : {Grid{.dp = 2, .pp = 2}, Grid{.tp = 2, .pp = 2}, Grid{2, 2, 2}}) {
    BOOST_TEST_CONTEXT("dp " << grid.dp << " tp " << grid.tp) {
      TinyRun run = run_of({"zbv", 2, 4});
      run.grid = grid;
      TinyRun plain = run;
      plain.schedule = "gpipe";
      plain.grid.pp = 1;
      check_same(simulate(run, 14, steps), simulate(plain, 0, steps));
    }
  }
}

BOOST_AUTO_TEST_CASE(actors_train_as_the_simulation_does) {
  for (const Case& wanted : {Case{"interleaved", 2, 8, 2}, Case{"zbv", 2, 8}, Case{"zb-h2", 4, 8},
                             Case{"chimera", 2, 8}, Case{"dualpipev", 2, 8}}) {
    BOOST_TEST_CONTEXT(wanted) {
      TinyRun run = run_of(wanted);
      const TinyOutcome simulated = simulate(run, 15, steps);
      run.inline_streams = false;
      TinyGrid grid(run);
      auto world = make_local_world(grid.options(), grid.executors(), 2);
      check_same(train(*world, grid, steps), simulated);
    }
  }
}

BOOST_AUTO_TEST_CASE(orders_of_messages_change_nothing) {
  const TinyRun run = run_of({"zbv", 2, 4});
  const TinyOutcome wanted = reference(run, 1);
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    TinyGrid grid(run);
    auto world =
        make_simulated_world(grid.options(), grid.executors(),
                             {.seed = seed, .duplicate_probability = 0.1, .reorder = true});
    BOOST_CHECK_EQUAL(train(*world, grid, steps).hash, wanted.hash);
  }
}

BOOST_AUTO_TEST_CASE(an_evaluation_comes_round_every_placement) {
  const auto evaluated = [](const Case& wanted) {
    TinyGrid grid(run_of(wanted));
    auto world = make_simulated_world(grid.options(), grid.executors(), {.seed = 3});
    RoundRequest request;
    request.mode = Mode::evaluate;
    request.micro_batches = grid.micro_batches();
    return world->round(request).value().loss;
  };
  const double wanted = evaluated({"gpipe", 1, 4});
  BOOST_CHECK_GT(wanted, 1.0);
  for (const Case& other :
       {Case{"interleaved", 2, 4, 2}, Case{"zbv", 2, 4}, Case{"chimera", 2, 4}}) {
    BOOST_TEST_CONTEXT(other) {
      BOOST_CHECK_CLOSE(evaluated(other), wanted, 1e-5);
    }
  }
}
