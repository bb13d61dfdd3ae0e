// Costs taken from a trace whose costs are known: the simulator's own.
#define BOOST_TEST_MODULE calibrate
#include "actors/schedule/calibrate.hpp"

#include <boost/test/unit_test.hpp>

#include "tests/unit/actors/schedule/generated.hpp"

using namespace collie;

namespace {

// What a run with these costs would have recorded, `start` seconds into the process.
Trace traced(const Schedule& schedule, const CostModel& costs, double start) {
  const Simulation simulation = simulate(schedule, costs).value();
  Trace trace(schedule.programs.size());
  for (std::size_t rank = 0; rank < trace.size(); ++rank) {
    for (std::size_t at = 0; at < schedule.programs[rank].size(); ++at) {
      const TimedAction& timed = simulation.actions[rank][at];
      TracedAction done{schedule.programs[rank][at], static_cast<int>(at), start + timed.begin,
                        start + timed.end};
      // STEP waits for all ranks in a run.
      if (done.action.verb == Verb::step) {
        done.begin_s = start + simulation.makespan;
        done.end_s = done.begin_s + 0.5;
      }
      trace[rank].push_back(done);
    }
  }
  return trace;
}

CostModel uneven_costs(int stages) {
  CostModel costs;
  for (int stage = 0; stage < stages; ++stage) {
    costs.stages.push_back({.forward = 1.0 + stage, .input = 2.0, .weight = 1.5 + 0.5 * stage});
  }
  costs.latency = 0.25;
  return costs;
}

}  // namespace

BOOST_AUTO_TEST_CASE(costs_come_back_from_a_trace_of_them) {
  for (const char* name : {"1f1b", "zb-h1", "gpipe"}) {
    BOOST_TEST_CONTEXT(name) {
      const Schedule schedule = generated(name, 4, 8);
      const CostModel costs = uneven_costs(schedule.stages());
      const auto result =
          calibrate(schedule, {traced(schedule, costs, 10.0), traced(schedule, costs, 99.0)});
      BOOST_REQUIRE(result.ok());
      for (std::size_t stage = 0; stage < costs.stages.size(); ++stage) {
        const StageCosts& found = result->costs.stages[stage];
        BOOST_TEST(found.forward == costs.stages[stage].forward,
                   boost::test_tools::tolerance(1e-9));
        BOOST_TEST(
            found.input + found.weight == costs.stages[stage].input + costs.stages[stage].weight,
            boost::test_tools::tolerance(1e-9));
      }
      BOOST_TEST(result->costs.latency == costs.latency, boost::test_tools::tolerance(1e-9));
      BOOST_TEST(result->barrier_s == 0.5, boost::test_tools::tolerance(1e-9));
      BOOST_TEST(result->predicted_s == result->measured_s, boost::test_tools::tolerance(1e-9));
      for (const Residual& residual : result->residuals) {
        BOOST_TEST_CONTEXT(residual.what) {
          BOOST_TEST(std::abs(residual.worst_late_s) < 1e-9);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_rank_that_was_late_shows_in_the_residuals) {
  const Schedule schedule = generated("1f1b", 2, 4);
  const CostModel costs = uneven_costs(2);
  Trace late = traced(schedule, costs, 0.0);
  for (auto& rank : late) {
    for (std::size_t at = rank.size() / 2; at < rank.size(); ++at) {
      rank[at].begin_s += 7.0;
      rank[at].end_s += 7.0;
    }
  }
  const auto result = calibrate(schedule, {traced(schedule, costs, 0.0), late});
  BOOST_REQUIRE(result.ok());
  double worst = 0.0;
  for (const Residual& residual : result->residuals) {
    worst = std::max(worst, residual.worst_late_s);
  }
  BOOST_TEST(worst == 7.0, boost::test_tools::tolerance(1e-6));
}

BOOST_AUTO_TEST_CASE(no_trace_and_a_foreign_one_are_refused) {
  const Schedule schedule = generated("1f1b", 2, 4);
  const auto none = calibrate(schedule, {});
  BOOST_REQUIRE(!none.ok());
  BOOST_TEST(none.error().message.find("output.trace_steps") != std::string::npos);
  const Trace foreign = traced(generated("gpipe", 2, 4), uneven_costs(2), 0.0);
  const auto other = calibrate(schedule, {foreign});
  BOOST_REQUIRE(!other.ok());
  BOOST_TEST(other.error().message.find("did not follow schedule 1f1b") != std::string::npos);
}
