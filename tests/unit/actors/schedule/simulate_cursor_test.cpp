// The simulator is the runtime's protocol: the same begin and end of every action.
#define BOOST_TEST_MODULE simulate_cursor
#include <boost/test/unit_test.hpp>
#include <random>

#include "tests/unit/actors/schedule/cursor_world.hpp"
#include "tests/unit/actors/schedule/generated.hpp"

using namespace collie;

namespace {

CostModel random_costs(int stages, std::mt19937& random) {
  std::uniform_int_distribution<int> time(1, 9);
  CostModel costs;
  for (int stage = 0; stage < stages; ++stage) {
    costs.stages.push_back({.forward = static_cast<double>(time(random)),
                            .input = static_cast<double>(time(random)),
                            .weight = static_cast<double>(time(random))});
  }
  return costs;
}

// Returns whether the schedule could finish.
bool check_same(const Schedule& schedule, const CostModel& costs) {
  CursorWorld world(schedule, costs);
  const auto cursors = world.run();
  const Result<Simulation> simulation = simulate(schedule, costs);
  std::size_t walked = 0;
  for (const auto& times : cursors) walked += times.size();
  std::size_t work = 0;
  for (const auto& program : schedule.programs) {
    for (const Action& action : program) work += has_micro_batch(action.verb) ? 1 : 0;
  }
  BOOST_REQUIRE_EQUAL(simulation.ok(), walked == work);
  if (!simulation.ok()) return false;
  const Schedule ran = as_run(schedule, simulation.value());
  for (std::size_t rank = 0; rank < cursors.size(); ++rank) {
    for (std::size_t at = 0; at < cursors[rank].size(); ++at) {
      BOOST_TEST_INFO("rank " << rank << " " << to_string(ran.programs[rank][at]));
      BOOST_CHECK(ran.programs[rank][at] == world.order()[rank][at]);
      const TimedAction& timed = simulation.value().actions[rank][at];
      BOOST_CHECK_EQUAL(timed.begin, cursors[rank][at].first);
      BOOST_CHECK_EQUAL(timed.end, cursors[rank][at].second);
    }
  }
  return true;
}

}  // namespace

BOOST_AUTO_TEST_CASE(simulated_times_are_those_of_the_runtimes_cursors) {
  std::mt19937 random(17);
  int finished = 0;
  for (const char* name : {"gpipe", "1f1b", "zb-h1", "zb-h2", "interleaved", "looped-bfs", "zbv"}) {
    for (int credit = 1; credit <= 4; ++credit) {
      for (const int ranks : {2, 3, 4}) {
        Schedule schedule = generated(name, ranks, 3 * ranks);
        schedule.channel.credit = credit;
        CostModel costs = random_costs(schedule.stages(), random);
        for (const double latency : {0.0, 0.5, 6.0}) {
          costs.latency = latency;
          BOOST_TEST_CONTEXT(name << " ranks " << ranks << " credit " << credit << " latency "
                                  << latency) {
            finished += check_same(schedule, costs) ? 1 : 0;
          }
        }
      }
    }
  }
  BOOST_CHECK_GT(finished, 150);
}

BOOST_AUTO_TEST_CASE(a_policy_chooses_in_the_simulator_as_in_the_runtimes_cursors) {
  std::mt19937 random(23);
  int finished = 0, reordered = 0;
  const Policy policies[] = {
      {{Verb::backward, Verb::backward_input, Verb::forward, Verb::backward_weight}, 0},
      {{Verb::backward_weight, Verb::backward, Verb::backward_input, Verb::forward}, 3},
      {{Verb::forward, Verb::backward_input}, 4}};
  for (const char* name : {"gpipe", "1f1b", "zb-h1", "interleaved", "zbv"}) {
    for (const Policy& policy : policies) {
      for (const int ranks : {2, 3, 4}) {
        Schedule schedule = generated(name, ranks, 3 * ranks);
        schedule.policy = policy;
        schedule.channel.credit = 2 + ranks;
        CostModel costs = random_costs(schedule.stages(), random);
        for (const double latency : {0.0, 0.5, 6.0}) {
          costs.latency = latency;
          BOOST_TEST_CONTEXT(name << " ranks " << ranks << " latency " << latency) {
            if (!check_same(schedule, costs)) continue;
          }
          ++finished;
          const Schedule ran = as_run(schedule, simulate(schedule, costs).value());
          reordered += ran.programs != schedule.programs ? 1 : 0;
        }
      }
    }
  }
  BOOST_CHECK_GT(finished, 100);
  BOOST_CHECK_GT(reordered, 50);
}
