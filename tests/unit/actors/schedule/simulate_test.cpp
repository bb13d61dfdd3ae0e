// Small schedules whose times, memory and versions can be counted by hand.
#define BOOST_TEST_MODULE simulate
#include "actors/schedule/simulate.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "actors/schedule/validate.hpp"
#include "tests/unit/actors/schedule/simulated.hpp"

using namespace collie;

namespace {

// Two ranks and forwards alone: whatever waits, waits for messages.
Schedule two_forwards(int micro_batches, int credit) {
  Schedule schedule = forward_only(Placement::linear(2), micro_batches);
  schedule.channel.credit = credit;
  return schedule;
}

double total_idle(const Simulation& simulation) {
  double idle = 0.0;
  for (const IdleCause cause : {IdleCause::dependency, IdleCause::communication, IdleCause::credit,
                                IdleCause::step, IdleCause::fill, IdleCause::drain}) {
    idle += simulation.idle_of(cause);
  }
  return idle;
}

}  // namespace

BOOST_AUTO_TEST_CASE(latency_delays_and_does_not_occupy) {
  const Schedule schedule = two_forwards(3, 3);
  CostModel costs = unit_costs();
  costs.latency = 5.0;
  const Simulation simulation = simulate(schedule, costs).value();
  BOOST_CHECK_EQUAL(times_of(schedule, simulation, 1), "1F0 6..7, 1F1 7..8, 1F2 8..9");
  BOOST_CHECK(simulation.actions[1][0].idle == IdleCause::communication);
  BOOST_CHECK((simulation.actions[1][0].blamed == ActionPlace{0, 0}));
}

// Stage 1 is the slow one: F0 ends at 1, then 3 + 6 for each of two micro-batches, then B1 of
// stage 0 takes 2 more.
BOOST_AUTO_TEST_CASE(the_slowest_stage_decides) {
  CostModel costs;
  costs.stages = {{.forward = 1.0}, {.forward = 3.0, .input = 3.0, .weight = 3.0}};
  BOOST_CHECK_EQUAL(simulate(generated("1f1b", 2, 2), costs).value().makespan, 1.0 + 18.0 + 2.0);
}

BOOST_AUTO_TEST_CASE(a_split_backward_hands_its_gradient_on_at_half_time) {
  Schedule schedule = generated("1f1b", 2, 1);
  schedule.programs[1] = {{Verb::forward, 1, 0},
                          {Verb::backward_input, 1, 0},
                          {Verb::backward_weight, 1, 0},
                          {Verb::step, 1, 0}};
  // 1F 1F 1I, then stage 0's B of 2 beside stage 1's W.
  BOOST_CHECK_EQUAL(simulate(schedule, unit_costs()).value().makespan, 5.0);
}

BOOST_AUTO_TEST_CASE(occupied_links_carry_one_message_at_a_time) {
  const Schedule schedule = two_forwards(3, 3);
  CostModel costs = unit_costs();
  costs.messages = MessageModel::occupancy;
  costs.memory = {{.message = 8.0}};
  costs.latency = 1.0;
  costs.bandwidth = 2.0;
  const Simulation simulation = simulate(schedule, costs).value();
  BOOST_CHECK_EQUAL(times_of(schedule, simulation, 0), "0F0 0..1, 0F1 1..2, 0F2 2..3");
  BOOST_CHECK_EQUAL(times_of(schedule, simulation, 1), "1F0 6..7, 1F1 11..12, 1F2 16..17");
}

BOOST_AUTO_TEST_CASE(a_rendezvous_holds_the_sender) {
  const Schedule schedule = two_forwards(2, 2);
  CostModel costs = unit_costs();
  costs.stages = {{.forward = 1.0}, {.forward = 10.0}};
  costs.messages = MessageModel::rendezvous;
  costs.latency = 2.0;
  const Simulation simulation = simulate(schedule, costs).value();
  BOOST_CHECK_EQUAL(times_of(schedule, simulation, 0), "0F0 0..1, 0F1 3..4");
  BOOST_CHECK_EQUAL(times_of(schedule, simulation, 1), "1F0 3..13, 1F1 15..25");
  BOOST_CHECK(simulation.actions[0][1].idle == IdleCause::communication);
  BOOST_CHECK((simulation.actions[0][1].blamed == ActionPlace{1, 0}));
}

BOOST_AUTO_TEST_CASE(what_can_never_finish_is_an_error_that_names_the_ranks) {
  CostModel costs = unit_costs();
  costs.messages = MessageModel::rendezvous;
  const auto stuck = simulate(generated("1f1b", 3, 4), costs);
  BOOST_REQUIRE(!stuck.ok());
  BOOST_CHECK_EQUAL(stuck.error().message,
                    "schedule 1f1b cannot finish with rendezvous: rank 0 waits for a reader of "
                    "0F2, rank 1 waits for a reader of 1F1, rank 2 waits for a reader of 2B0");
  Schedule tight = generated("looped-bfs", 2, 8);
  tight.channel.credit = 2;
  const auto crossed = simulate(tight, unit_costs());
  BOOST_REQUIRE(!crossed.ok());
  BOOST_CHECK_EQUAL(crossed.error().message,
                    "schedule looped-bfs cannot finish with credit 2: rank 0 waits at 0F4 (action "
                    "5 of 34), rank 1 waits at 1F2 (action 3 of 34)");
  Schedule turned = generated("gpipe", 2, 2);
  std::ranges::reverse(turned.programs[1]);
  const auto backwards = simulate(turned, unit_costs());
  BOOST_REQUIRE(!backwards.ok());
  BOOST_CHECK_EQUAL(backwards.error().message, "schedule gpipe, rank 1: 1B1 comes before its F");
}

BOOST_AUTO_TEST_CASE(a_send_waits_for_credit) {
  const Schedule schedule = two_forwards(4, 1);
  CostModel costs = unit_costs();
  costs.stages = {{.forward = 1.0}, {.forward = 10.0}};
  const Simulation simulation = simulate(schedule, costs).value();
  BOOST_CHECK_EQUAL(times_of(schedule, simulation, 0),
                    "0F0 0..1, 0F1 1..2, 0F2 11..12, 0F3 21..22");
  BOOST_CHECK(simulation.actions[0][2].idle == IdleCause::credit);
  BOOST_CHECK((simulation.actions[0][2].blamed == ActionPlace{1, 1}));
  BOOST_CHECK_EQUAL(simulation.idle_of(IdleCause::credit), 9.0 + 9.0);
}

BOOST_AUTO_TEST_CASE(all_idle_time_has_a_cause) {
  for (const char* name : {"gpipe", "1f1b", "interleaved", "zb-h1", "zbv", "dualpipev"}) {
    for (const MessageModel messages : {MessageModel::latency, MessageModel::occupancy}) {
      CostModel costs = unit_costs();
      costs.stages[0] = {.forward = 1.0, .input = 1.5, .weight = 0.75, .step = 2.0};
      costs.memory = {{.message = 1.0}};
      costs.messages = messages;
      costs.latency = 0.25;
      costs.jitter = 0.2;
      Schedule schedule = generated(name, 4, 8);
      schedule.channel.credit = 3;
      const Simulation simulation = simulate(schedule, costs, {.steps = 3}).value();
      const double busy = std::accumulate(simulation.busy.begin(), simulation.busy.end(), 0.0);
      BOOST_CHECK_CLOSE(total_idle(simulation), 4 * simulation.makespan - busy, 1e-9);
      BOOST_CHECK_EQUAL(simulation.idle_of(IdleCause::none), 0.0);
    }
  }
}

BOOST_AUTO_TEST_CASE(filling_draining_and_waiting_for_steps) {
  CostModel costs = unit_costs();
  const Simulation gpipe = simulate(generated("gpipe", 2, 3), costs).value();
  BOOST_CHECK_EQUAL(gpipe.idle_of(IdleCause::fill), 1.0);  // rank 1 waits for 0F0
  BOOST_CHECK_EQUAL(gpipe.idle_of(IdleCause::drain),
                    3.0 + 2.0);  // rank 0 for 1B0, rank 1 at the end
  costs.stages[0].step = 10.0;
  const Schedule schedule = generated("gpipe", 2, 3);
  const Simulation steps = simulate(schedule, costs, {.steps = 2}).value();
  // The second step's first action of rank 1 waits for rank 0, which was at its STEP.
  const std::size_t first = schedule.programs[1].size();
  BOOST_CHECK(steps.actions[1][first].idle == IdleCause::step);
  BOOST_CHECK((steps.actions[1][first].blamed ==
               ActionPlace{0, static_cast<int>(schedule.programs[0].size()) - 1}));
}

BOOST_AUTO_TEST_CASE(jitter_belongs_to_the_action_not_to_the_order) {
  CostModel costs = unit_costs();
  costs.jitter = 0.3;
  costs.seed = 7;
  const auto durations = [&](const char* name) {
    const Schedule schedule = generated(name, 4, 500);
    const Simulation simulation = simulate(schedule, costs).value();
    std::map<std::string, double> seconds;
    for (std::size_t rank = 0; rank < 4; ++rank) {
      for (std::size_t at = 0; at < simulation.actions[rank].size(); ++at) {
        const TimedAction& timed = simulation.actions[rank][at];
        const Action& action = schedule.programs[rank][at];
        if (action.verb == Verb::forward) seconds[to_string(action)] = timed.end - timed.begin;
      }
    }
    return seconds;
  };
  const auto first = durations("gpipe");
  auto second = durations("1f1b");
  double sum = 0.0, squares = 0.0;
  for (const auto& [action, seconds] : first) {
    BOOST_CHECK_CLOSE(seconds, second[action], 1e-9);
    sum += seconds;
    squares += seconds * seconds;
  }
  const double mean = sum / 2000.0;
  BOOST_CHECK_CLOSE(mean, 1.0, 3.0);
  BOOST_CHECK_CLOSE(std::sqrt(squares / 2000.0 - mean * mean), 0.3, 10.0);
  costs.seed = 8;
  BOOST_CHECK_NE(durations("gpipe").at("0F0"), first.at("0F0"));
}

BOOST_AUTO_TEST_CASE(a_pair_side_by_side_costs_what_it_costs_and_ends_together) {
  Schedule schedule{.name = "pair", .placement = Placement::linear(1), .micro_batches = 2};
  schedule.programs = {{{Verb::forward, 0, 0},
                        {.verb = Verb::forward, .micro_batch = 1, .overlaps_next = true},
                        {Verb::backward, 0, 0},
                        {Verb::backward, 0, 1}}};
  CostModel costs = unit_costs();
  BOOST_CHECK_EQUAL(times_of(schedule, simulate(schedule, costs).value(), 0),
                    "0F0 0..1, 0F1 1..4, 0B0 1..4, 0B1 4..6");
  costs.stages[0].overlapped = 2.5;
  BOOST_CHECK_EQUAL(times_of(schedule, simulate(schedule, costs).value(), 0),
                    "0F0 0..1, 0F1 1..3.5, 0B0 1..3.5, 0B1 3.5..5.5");
  BOOST_CHECK_EQUAL(simulate(schedule, costs).value().busy[0], 5.5);
}

BOOST_AUTO_TEST_CASE(several_steps_run_into_each_other) {
  const Simulation simulation =
      simulate(generated("zb-h2", 4, 12), unit_costs(), {.steps = 5, .with_memory = false}).value();
  BOOST_CHECK_EQUAL(simulation.steps, 5);
  BOOST_CHECK_EQUAL(simulation.steady_period, 36.0);
  BOOST_CHECK_EQUAL(simulation.makespan, 5 * 36.0 + 3.0);
  BOOST_CHECK_EQUAL(simulation.actions[0].back().version, 4);
}

// A run's links are finer than the pairs of ranks that the proof counts, and take credit earlier.
BOOST_AUTO_TEST_CASE(credit_that_is_proved_to_be_enough_is_enough) {
  for (const ScheduleGenerator& generator : schedule_generators()) {
    for (const int ranks : {2, 4, 8}) {
      Schedule schedule = generated(generator.name, ranks, 4 * ranks);
      const int proved = validate(schedule).minimum_credit_tagged;
      BOOST_TEST_CONTEXT(generator.name << " on " << ranks << " with credit " << proved) {
        BOOST_REQUIRE_GE(proved, 0);
        schedule.channel.credit = std::max(1, proved);
        const auto simulation = simulate(schedule, unit_costs(), {.steps = 2});
        BOOST_TEST_INFO((simulation.ok() ? "" : simulation.error().message));
        BOOST_CHECK(simulation.ok());
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(costs_that_are_missing_or_not_numbers_are_refused) {
  const Schedule schedule = generated("1f1b", 3, 3);
  const auto message_for = [&](const auto& change) {
    CostModel costs = unit_costs();
    change(costs);
    const auto result = simulate(schedule, costs);
    BOOST_REQUIRE(!result.ok());
    return result.error().message;
  };
  BOOST_CHECK_EQUAL(message_for([](CostModel& costs) { costs.stages.clear(); }),
                    "costs: 0 times are given for 3 stages; give 1 or 3");
  BOOST_CHECK_EQUAL(message_for([](CostModel& costs) { costs.stages[0].weight = std::nan(""); }),
                    "costs: weight of stage 0 is nan; it must be a finite number, 0 or more");
  BOOST_CHECK_EQUAL(message_for([](CostModel& costs) { costs.latency = -1.0; }),
                    "costs: latency of messages is -1; it must be a finite number, 0 or more");
  BOOST_CHECK(!simulate(schedule, unit_costs(), {.steps = 0}).ok());
  BOOST_CHECK(!simulate(schedule, unit_costs(), {.steps = 100'000'000}).ok());
}
