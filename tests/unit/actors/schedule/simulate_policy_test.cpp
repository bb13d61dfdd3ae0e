// What a policy chooses on the clock, and what copies of weights cost: by hand.
#define BOOST_TEST_MODULE simulate_policy
#include <boost/test/unit_test.hpp>
#include <set>

#include "actors/schedule/text_format.hpp"
#include "actors/schedule/validate.hpp"
#include "tests/unit/actors/schedule/simulated.hpp"

using namespace collie;

namespace {

// Rank 1 does each W at once, so the gradient of micro-batch 1 comes late.
Schedule weights_at_once() {
  Schedule schedule = generated("zb-h1", 2, 2);
  schedule.programs = {{{Verb::forward, 0, 0},
                        {Verb::forward, 0, 1},
                        {Verb::backward_input, 0, 0},
                        {Verb::backward_weight, 0, 0},
                        {Verb::backward_input, 0, 1},
                        {Verb::backward_weight, 0, 1},
                        {Verb::step, 0}},
                       {{Verb::forward, 1, 0},
                        {Verb::backward_input, 1, 0},
                        {Verb::backward_weight, 1, 0},
                        {Verb::forward, 1, 1},
                        {Verb::backward_input, 1, 1},
                        {Verb::backward_weight, 1, 1},
                        {Verb::step, 1}}};
  return schedule;
}

const Policy input_first = {{Verb::backward_input, Verb::forward, Verb::backward_weight}, 0};

std::string run_times(const Schedule& schedule, const Simulation& simulation, std::size_t rank) {
  return times_of(as_run(schedule, simulation), simulation, rank);
}

// PipeDream on two ranks: rank 0 is F0 F1 B0 STEP F2 B1 STEP B2 STEP, and B1 and B2 read what the
// STEP before them replaced.
CostModel copies_of(double seconds) {
  CostModel costs = unit_costs();
  costs.stages = {{.copy = seconds}};
  return costs;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_policy_fills_the_gap_that_the_written_order_leaves) {
  Schedule schedule = weights_at_once();
  BOOST_CHECK_EQUAL(simulate(schedule, unit_costs()).value().makespan, 8.0);
  schedule.policy = input_first;
  const Simulation simulation = simulate(schedule, unit_costs()).value();
  BOOST_CHECK_EQUAL(simulation.makespan, 7.0);
  BOOST_CHECK_EQUAL(run_times(schedule, simulation, 0),
                    "0F0 0..1, 0F1 1..2, 0I0 3..4, 0W0 4..5, 0I1 5..6, 0W1 6..7, STEP0 7..7");
  BOOST_CHECK_EQUAL(run_times(schedule, simulation, 1),
                    "1F0 1..2, 1I0 2..3, 1F1 3..4, 1I1 4..5, 1W0 5..6, 1W1 6..7, STEP1 7..7");
  // Rank 0 waited for 1I0, which ran second.
  BOOST_CHECK((simulation.actions[0][2].blamed == ActionPlace{1, 1}));
}

BOOST_AUTO_TEST_CASE(what_ran_is_a_schedule_that_takes_the_same_time) {
  std::set<std::string> orders;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Schedule schedule = generated("gpipe", 3, 6);
    schedule.policy = {{Verb::backward, Verb::forward}, 3};
    CostModel costs = unit_costs();
    costs.jitter = 0.5;
    costs.seed = seed;
    costs.latency = 0.25;
    const Simulation simulation = simulate(schedule, costs).value();
    const Schedule ran = as_run(schedule, simulation);
    BOOST_CHECK(validate(ran).ok());
    for (int rank = 0; rank < 3; ++rank) BOOST_CHECK_LE(peak_in_flight(ran, rank), 3);
    const Simulation again = simulate(ran, costs).value();
    BOOST_CHECK_EQUAL(again.makespan, simulation.makespan);
    BOOST_CHECK(again.peak_memory == simulation.peak_memory);
    for (const IdleCause cause : {IdleCause::dependency, IdleCause::communication,
                                  IdleCause::credit, IdleCause::fill, IdleCause::drain}) {
      BOOST_CHECK_EQUAL(again.idle_of(cause), simulation.idle_of(cause));
    }
    orders.insert(to_text(ran));
  }
  BOOST_CHECK_GT(orders.size(), 1U);
}

BOOST_AUTO_TEST_CASE(steps_are_chosen_one_after_the_other) {
  Schedule schedule = weights_at_once();
  schedule.policy = input_first;
  const Simulation simulation = simulate(schedule, unit_costs(), {.steps = 3}).value();
  BOOST_CHECK_EQUAL(simulation.actions[0].size(), 21U);
  BOOST_CHECK(!steady_state(schedule, unit_costs()).ok());
  // F0 of the second step is free to start when rank 0 has made its STEP.
  BOOST_CHECK_EQUAL(simulation.actions[0][7].begin, 7.0);
}

BOOST_AUTO_TEST_CASE(a_step_copies_the_version_that_is_still_to_be_read) {
  const Schedule schedule = generated("pipedream", 2, 3);
  BOOST_CHECK_EQUAL(simulate(schedule, copies_of(0.0)).value().makespan, 12.0);
  const Simulation simulation = simulate(schedule, copies_of(5.0)).value();
  BOOST_CHECK_EQUAL(times_of(schedule, simulation, 0),
                    "0F0 0..1, 0F1 1..2, 0B0 4..6, STEP0 11..11, 0F2 11..12, 0B1 12..14, "
                    "STEP0 19..19, 0B2 19..21, STEP0 21..21");
  BOOST_CHECK_EQUAL(simulation.makespan, 21.0);
  BOOST_CHECK(simulation.actions[0][3].idle == IdleCause::step);
  const double period = steady_state(schedule, copies_of(5.0)).value().period;
  const Simulation steps = simulate(schedule, copies_of(5.0), {.steps = 12}).value();
  BOOST_TEST(steps.steady_period == period, boost::test_tools::tolerance(1e-9));
  // Synchronous ones keep none.
  BOOST_CHECK_EQUAL(simulate(generated("1f1b", 2, 3), copies_of(5.0)).value().makespan, 12.0);
  BOOST_CHECK(!simulate(schedule, copies_of(-1.0)).ok());
}

BOOST_AUTO_TEST_CASE(a_pin_copies_beside_the_work) {
  Schedule schedule = generated("pipedream", 2, 3);
  auto& program = schedule.programs[0];
  program.insert(program.begin() + 4, Action{.verb = Verb::pin, .stage = 0, .micro_batch = 1});
  program.insert(program.begin(), Action{.verb = Verb::pin, .stage = 0, .micro_batch = 0});
  const Simulation simulation = simulate(schedule, copies_of(5.0)).value();
  // The first copy ends at 5, before B0 does; the second begins at 6.
  BOOST_CHECK_EQUAL(times_of(schedule, simulation, 0),
                    "PIN0.0 0..0, 0F0 0..1, 0F1 1..2, 0B0 4..6, STEP0 6..6, PIN0.1 6..6, "
                    "0F2 6..7, 0B1 7..9, STEP0 11..11, 0B2 11..13, STEP0 13..13");
  BOOST_CHECK(!steady_state(schedule, copies_of(5.0)).ok());
}
