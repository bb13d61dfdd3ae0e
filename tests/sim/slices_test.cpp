// Schedules that cut micro-batches along the sequence. Weight gradients are sums over slices, so
// the reference of a run is one rank with the same slices, to the last bit, and whole micro-batches
// within rounding.
#define BOOST_TEST_MODULE slices
#include <boost/test/unit_test.hpp>

#include "actors/schedule/validate.hpp"
#include "tests/sim/tiny_grid.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

constexpr int steps = 20;

TinyRun run_of(int ranks, int micro_batches, int slices) {
  TinyRun run;
  run.layers = 8;
  run.grid.pp = ranks;
  run.schedule = "seq1f1b";
  run.micro_batches = micro_batches;
  run.slices = slices;
  return run;
}

TinyOutcome on_one_rank(TinyRun run) {
  run.grid.pp = 1;
  run.given.reset();
  run.policy = {};
  return simulate(run, 0, steps);
}

void check_same(const TinyOutcome& outcome, const TinyOutcome& wanted) {
  BOOST_CHECK_EQUAL(outcome.hash, wanted.hash);
  BOOST_CHECK(outcome.losses == wanted.losses);
  BOOST_CHECK(outcome.norms == wanted.norms);
}

Schedule seq1f1b(int ranks, int micro_batches, int slices) {
  return make_schedule("seq1f1b",
                       {.ranks = ranks, .micro_batches = micro_batches, .slices = slices})
      .value();
}

}  // namespace

// 3 slices of 8 tokens are of different lengths; 8 have one token each.
BOOST_AUTO_TEST_CASE(stages_train_as_one_rank_with_the_same_slices) {
  for (const auto& [ranks, micro_batches, slices] :
       {std::array{2, 4, 2}, std::array{4, 8, 2}, std::array{4, 4, 3}, std::array{3, 5, 8}}) {
    BOOST_TEST_CONTEXT("ranks " << ranks << " micro-batches " << micro_batches << " slices "
                                << slices) {
      const TinyRun run = run_of(ranks, micro_batches, slices);
      check_same(simulate(run, 11, steps), on_one_rank(run));
    }
  }
}

BOOST_AUTO_TEST_CASE(one_slice_is_gpipe) {
  const TinyRun run = run_of(4, 8, 1);
  TinyRun plain = run;
  plain.schedule = "gpipe";
  check_same(simulate(run, 12, steps), on_one_rank(plain));
}

BOOST_AUTO_TEST_CASE(slices_train_as_whole_micro_batches_but_for_rounding) {
  for (const char* family : {"llama", "gpt2", "qwen3"}) {
    for (const int slices : {2, 3, 8}) {
      BOOST_TEST_CONTEXT(family << " slices " << slices) {
        TinyRun run = run_of(2, 4, slices);
        run.family = family;
        const TinyOutcome cut = simulate(run, 13, 3);
        run.slices = 1;
        const TinyOutcome whole = simulate(run, 13, 3);
        BOOST_CHECK_NE(cut.hash, whole.hash);
        BOOST_CHECK_CLOSE_FRACTION(cut.losses[0], whole.losses[0], 1e-6);
        BOOST_CHECK_CLOSE_FRACTION(cut.norms[0], whole.norms[0], 2e-5);
        for (std::size_t step = 1; step < 3; ++step) {
          BOOST_CHECK_CLOSE_FRACTION(cut.losses[step], whole.losses[step], 1e-4);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(with_everything_that_a_run_may_have) {
  std::vector<TinyRun> runs(7, run_of(2, 4, 3));
  runs[0].family = "gpt2";
  runs[1].family = "qwen3";
  runs[1].tied = true;
  runs[2].rows = 3;
  runs[2].recompute = Recompute::full;
  runs[3].dtype = DType::bf16;
  runs[3].recompute = Recompute::attention;
  runs[4].grid = {.dp = 2, .tp = 2, .pp = 2};
  runs[5].grid = {.tp = 4, .pp = 2};  // more tensor shards than key/value heads
  runs[6].threads = 3;
  for (std::size_t index = 0; index < runs.size(); ++index) {
    BOOST_TEST_CONTEXT("run " << index) {
      TinyRun plain = runs[index];
      plain.threads = 1;
      check_same(simulate(runs[index], 14, steps), on_one_rank(plain));
    }
  }
}

BOOST_AUTO_TEST_CASE(recomputation_changes_nothing) {
  TinyRun run = run_of(2, 4, 2);
  const TinyOutcome wanted = simulate(run, 15, steps);
  for (const Recompute recompute : {Recompute::attention, Recompute::full}) {
    run.recompute = recompute;
    check_same(simulate(run, 15, steps), wanted);
  }
}

// I and W apart, W as late as can be; and the same actions chosen at run time.
BOOST_AUTO_TEST_CASE(other_orders_train_as_one_rank) {
  TinyRun run = run_of(2, 4, 3);
  const TinyOutcome wanted = on_one_rank(run);
  Schedule split = seq1f1b(2, 4, 3);
  for (std::vector<Action>& program : split.programs) {
    std::vector<Action> actions, weights;
    for (Action action : program) {
      if (action.verb == Verb::step) std::ranges::copy(weights, std::back_inserter(actions));
      if (action.verb != Verb::backward) {
        actions.push_back(action);
        continue;
      }
      action.verb = Verb::backward_input;
      actions.push_back(action);
      action.verb = Verb::backward_weight;
      weights.push_back(action);
    }
    program = actions;
  }
  BOOST_REQUIRE(check_schedule(split).ok());
  run.given = split;
  check_same(simulate(run, 16, steps), wanted);
  run.given.reset();
  run.policy = {.priority = {Verb::backward, Verb::forward}};
  check_same(simulate(run, 16, steps), wanted);
}

BOOST_AUTO_TEST_CASE(orders_of_messages_change_nothing) {
  TinyRun run = run_of(2, 4, 3);
  run.credit = 1;
  const TinyOutcome wanted = on_one_rank(run);
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    TinyGrid grid(run);
    auto world =
        make_simulated_world(grid.options(), grid.executors(),
                             {.seed = seed, .duplicate_probability = 0.1, .reorder = true});
    BOOST_CHECK_EQUAL(train(*world, grid, steps).hash, wanted.hash);
  }
}

BOOST_AUTO_TEST_CASE(actors_train_as_the_simulation_does) {
  TinyRun run = run_of(4, 8, 2);
  const TinyOutcome simulated = simulate(run, 17, steps);
  run.inline_streams = false;
  run.threads = 2;
  TinyGrid grid(run);
  auto world = make_local_world(grid.options(), grid.executors(), 2);
  check_same(train(*world, grid, steps), simulated);
}

// Evaluation takes whole micro-batches.
BOOST_AUTO_TEST_CASE(an_evaluation_has_no_slices) {
  const auto evaluated = [](int slices) {
    TinyGrid grid(run_of(2, 4, slices));
    auto world = make_simulated_world(grid.options(), grid.executors(), {.seed = 3});
    RoundRequest request;
    request.mode = Mode::evaluate;
    request.micro_batches = grid.micro_batches();
    return world->round(request).value().loss;
  };
  BOOST_CHECK_EQUAL(evaluated(3), evaluated(1));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_trained_with_is_refused) {
  Schedule schedule = seq1f1b(2, 4, 2);
  BOOST_CHECK(check_trainable(schedule).ok());
  schedule.contract.synchronous = false;
  const Status asynchronous = check_trainable(schedule);
  BOOST_REQUIRE(!asynchronous.ok());
  BOOST_TEST_MESSAGE(asynchronous.error().message);
  BOOST_CHECK(asynchronous.error().message.find("use 1 slice") != std::string::npos);
  Schedule huge = seq1f1b(1, 2, 2);
  huge.micro_batches = 1 << 16;
  huge.slices = 1024;
  const Status many = check_trainable(huge);
  BOOST_REQUIRE(!many.ok());
  BOOST_CHECK(many.error().message.find("use fewer") != std::string::npos);
}
