// The exact period against the limit of long simulations, and against closed forms.
#define BOOST_TEST_MODULE schedule_steady_state
#include <boost/test/unit_test.hpp>
#include <random>

#include "actors/schedule/max_cycle_ratio.hpp"
#include "actors/schedule/simulate.hpp"
#include "tests/unit/actors/schedule/generated.hpp"

using namespace collie;

namespace {

CostModel random_costs(const Schedule& schedule, std::mt19937& random) {
  std::uniform_real_distribution<double> time(0.25, 4.0);
  CostModel costs;
  for (int stage = 0; stage < schedule.stages(); ++stage) {
    costs.stages.push_back({.forward = time(random),
                            .input = time(random),
                            .weight = time(random),
                            .overlapped = time(random),
                            .step = time(random)});
  }
  costs.memory = {{.message = 1.0}};
  costs.latency = random() % 2 == 0 ? 0.0 : time(random);
  costs.bandwidth = random() % 2 == 0 ? 0.0 : time(random);
  return costs;
}

void check_limit(const Schedule& schedule, const CostModel& costs) {
  BOOST_TEST_CONTEXT(schedule.name << " on " << schedule.ranks() << " ranks, "
                                   << schedule.micro_batches << " micro-batches, credit "
                                   << schedule.channel.credit) {
    // In the steady state the ends repeat after some steps, a small number that divides 240.
    const Result<Simulation> many = simulate(schedule, costs, {.steps = 480, .with_memory = false});
    const Result<SteadyState> exact = steady_state(schedule, costs);
    BOOST_REQUIRE_EQUAL(many.ok(), exact.ok());
    if (!exact.ok()) return;
    BOOST_CHECK_CLOSE(exact.value().period, many.value().steady_period, 1e-9);
    BOOST_CHECK(!exact.value().critical_cycle.empty());
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_period_is_the_limit_of_many_steps) {
  std::mt19937 random(5);
  for (const char* name : {"gpipe", "1f1b", "interleaved", "looped-bfs", "zb-h1", "zb-h2", "zbv",
                           "dualpipev", "pipedream"}) {
    for (int trial = 0; trial < 6; ++trial) {
      const int ranks = 2 + static_cast<int>(random() % 3);
      const bool has_fixed_count = std::string_view(name) == "interleaved";
      const int count = 2 * ranks + (has_fixed_count ? 0 : static_cast<int>(random() % 3));
      Schedule schedule = generated(name, ranks, count);
      schedule.channel.credit = 1 + static_cast<int>(random() % 4);
      check_limit(schedule, random_costs(schedule, random));
    }
  }
}

BOOST_AUTO_TEST_CASE(under_rendezvous_too) {
  std::mt19937 random(11);
  int finished = 0;
  for (const char* name : {"gpipe", "1f1b", "zb-h1", "looped-bfs"}) {
    for (int trial = 0; trial < 4; ++trial) {
      const Schedule schedule = generated(name, 2 + trial % 3, 5);
      CostModel costs = random_costs(schedule, random);
      costs.messages = MessageModel::rendezvous;
      finished += steady_state(schedule, costs).ok() ? 1 : 0;
      check_limit(schedule, costs);
    }
  }
  BOOST_CHECK_GE(finished, 4);  // GPipe needs no credit
}

BOOST_AUTO_TEST_CASE(closed_forms) {
  CostModel costs;
  costs.stages = {{.forward = 1.0, .input = 1.0, .weight = 1.0}};
  // Equal stages, a flush each step: what a rank computes, and (ranks - 1) (F + B) of waiting.
  const auto period = [&](const Schedule& schedule) {
    return steady_state(schedule, costs).value().period;
  };
  BOOST_CHECK_CLOSE(period(generated("gpipe", 4, 8)), 8 * 3.0 + 3 * 3.0, 1e-12);
  BOOST_CHECK_CLOSE(period(generated("1f1b", 4, 8)), 8 * 3.0 + 3 * 3.0, 1e-12);
  // ZB-H2 fits its steps into each other: nothing is left of the bubble when F = I = W.
  BOOST_CHECK_CLOSE(period(generated("zb-h2", 4, 12)), 12 * 3.0, 1e-12);
  // The slowest stage alone sets the pace of an asynchronous pipeline.
  Schedule pipedream = generated("pipedream", 3, 30);
  costs.stages = {{.forward = 1.0}, {.forward = 3.0}, {.forward = 2.0}};
  BOOST_CHECK_GE(period(pipedream), 30 * 5.0 - 1e-9);
}

BOOST_AUTO_TEST_CASE(the_critical_cycle_names_the_slowest_rank) {
  const Schedule schedule = generated("1f1b", 2, 6);
  CostModel costs;
  costs.stages = {{.forward = 1.0}, {.forward = 100.0}};
  const SteadyState steady = steady_state(schedule, costs).value();
  for (const std::string& action : steady.critical_cycle) {
    BOOST_TEST_INFO(action);
    if (action == "rank 0: 0F0" || action == "rank 0: 0B5" || action == "rank 0: STEP0") continue;
    BOOST_CHECK(action.starts_with("rank 1: "));
  }
}

// All cycles of a small graph, tried one by one.
double greatest_ratio_by_search(const RatioGraph& graph) {
  double best = -1e300;
  std::vector<bool> on_path(static_cast<std::size_t>(graph.nodes), false);
  const auto visit = [&](const auto& self, int root, int node, double weight, int delay) -> void {
    for (const RatioEdge& edge : graph.edges) {
      if (edge.from != node || edge.to < root) continue;
      if (edge.to == root) best = std::max(best, (weight + edge.weight) / (delay + edge.delay));
      if (edge.to == root || on_path[static_cast<std::size_t>(edge.to)]) continue;
      on_path[static_cast<std::size_t>(edge.to)] = true;
      self(self, root, edge.to, weight + edge.weight, delay + edge.delay);
      on_path[static_cast<std::size_t>(edge.to)] = false;
    }
  };
  for (int root = 0; root < graph.nodes; ++root) visit(visit, root, root, 0.0, 0);
  return best;
}

BOOST_AUTO_TEST_CASE(howard_finds_what_trying_all_cycles_finds) {
  std::mt19937 random(3);
  for (int trial = 0; trial < 300; ++trial) {
    RatioGraph graph{.nodes = 2 + static_cast<int>(random() % 6), .edges = {}};
    const auto edge = [&](int from, int to) {
      // Edges back carry a delay, so that all cycles do.
      const int delay =
          to > from ? static_cast<int>(random() % 2) : 1 + static_cast<int>(random() % 2);
      graph.edges.push_back({from, to, static_cast<double>(random() % 100) / 8.0, delay});
    };
    for (int node = 0; node < graph.nodes; ++node) {
      edge(node, static_cast<int>(random() % static_cast<unsigned>(graph.nodes)));
      edge(node, static_cast<int>(random() % static_cast<unsigned>(graph.nodes)));
    }
    BOOST_REQUIRE(delays_break_all_cycles(graph));
    BOOST_CHECK_CLOSE(max_cycle_ratio(graph).ratio, greatest_ratio_by_search(graph), 1e-9);
  }
}

BOOST_AUTO_TEST_CASE(links_that_are_shared_are_refused) {
  CostModel costs;
  costs.stages = {{}};
  costs.messages = MessageModel::occupancy;
  const auto result = steady_state(generated("gpipe", 2, 2), costs);
  BOOST_REQUIRE(!result.ok());
  BOOST_CHECK_NE(result.error().message.find("latency"), std::string::npos);
}
