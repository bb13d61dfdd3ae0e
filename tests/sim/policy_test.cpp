// A policy chooses while the run goes: other choices with other message orders, and always the same
// parameters. What was chosen, recorded as a program, replays as that program.
#define BOOST_TEST_MODULE policy
#include <boost/test/unit_test.hpp>
#include <set>

#include "actors/schedule/text_format.hpp"
#include "actors/schedule/validate.hpp"
#include "tests/sim/tiny_grid.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

constexpr int steps = 20;

TinyRun run_of(const char* schedule, std::vector<Verb> priority, int in_flight) {
  TinyRun run{.grid = {.pp = 2}, .schedule = schedule};
  run.layers = 8;
  run.micro_batches = 8;
  run.policy = {std::move(priority), in_flight};
  return run;
}

TinyOutcome reference(TinyRun run) {
  run.grid.pp = 1;
  run.schedule = "gpipe";
  run.policy = {};
  return simulate(run, 0, steps);
}

Schedule chosen_order(const TinyRun& run, std::uint64_t seed) {
  TinyGrid grid(run);
  auto world = make_simulated_world(grid.options(), grid.executors(), {.seed = seed});
  RoundRequest request;
  request.micro_batches = grid.micro_batches();
  request.want_trace = true;
  const RoundOutcome outcome = world->round(request).value();
  return recorded(grid.schedule(), rank_traces(grid.grid(), grid.schedule(), outcome.trace));
}

}  // namespace

BOOST_AUTO_TEST_CASE(whatever_is_chosen_the_parameters_are_the_same) {
  for (const TinyRun& run :
       {run_of("gpipe", {Verb::backward, Verb::forward}, 3),
        run_of("zbv", {Verb::backward_input, Verb::forward, Verb::backward_weight}, 4),
        run_of("zb-h1", {Verb::backward_weight, Verb::backward_input, Verb::forward}, 1)}) {
    const TinyOutcome wanted = reference(run);
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      BOOST_CHECK_EQUAL(simulate(run, seed, steps).hash, wanted.hash);
    }
  }
}

BOOST_AUTO_TEST_CASE(actors_choose_and_train_the_same) {
  TinyRun run = run_of("zbv", {Verb::backward_input, Verb::forward, Verb::backward_weight}, 4);
  const TinyOutcome wanted = reference(run);
  run.inline_streams = false;
  TinyGrid grid(run);
  auto world = make_local_world(grid.options(), grid.executors(), 2);
  BOOST_CHECK_EQUAL(train(*world, grid, steps).hash, wanted.hash);
}

BOOST_AUTO_TEST_CASE(choices_depend_on_messages_and_are_bounded) {
  const TinyRun run = run_of("gpipe", {Verb::backward, Verb::forward}, 3);
  std::set<std::string> orders;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Schedule order = chosen_order(run, seed);
    BOOST_CHECK(check_schedule(order).ok());
    for (int rank = 0; rank < 2; ++rank) BOOST_CHECK_LE(peak_in_flight(order, rank), 3);
    orders.insert(to_text(order));
  }
  BOOST_CHECK_GT(orders.size(), 1U);
}

BOOST_AUTO_TEST_CASE(a_recorded_choice_replays_as_its_program) {
  TinyRun run = run_of("gpipe", {Verb::backward, Verb::forward}, 3);
  const Schedule order = chosen_order(run, 4);
  const TinyOutcome wanted = reference(run);
  run.policy = {};
  run.given = order;
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    BOOST_CHECK(chosen_order(run, seed) == order);
    BOOST_CHECK_EQUAL(simulate(run, seed, steps).hash, wanted.hash);
  }
}

BOOST_AUTO_TEST_CASE(a_policy_is_written_and_read) {
  Schedule schedule = make_schedule("gpipe", {.ranks = 2, .micro_batches = 4}).value();
  schedule.policy = {{Verb::backward, Verb::forward}, 3};
  const std::string text = to_text(schedule);
  BOOST_TEST(text.find("policy B F in-flight=3\n") != std::string::npos);
  BOOST_CHECK(parse_schedule(text, "p.schedule").value() == schedule);
}
