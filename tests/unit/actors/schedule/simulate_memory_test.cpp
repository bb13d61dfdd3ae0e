// What small schedules hold, by class, and which versions they read.
#define BOOST_TEST_MODULE simulate_memory
#include <boost/test/unit_test.hpp>

#include "tests/unit/actors/schedule/simulated.hpp"

using namespace collie;

namespace {

double most(const Simulation& simulation, std::size_t rank, MemoryClass memory_class) {
  double bytes = 0.0;
  for (const MemoryPoint& point : simulation.memory[rank]) {
    bytes = std::max(bytes, point.bytes[static_cast<std::size_t>(memory_class)]);
  }
  return bytes;
}

}  // namespace

BOOST_AUTO_TEST_CASE(recompute_is_priced_where_it_happens) {
  CostModel costs = unit_costs();
  costs.stages[0].recompute = 0.5;
  costs.stages[0].weight_recompute = 0.25;
  costs.memory = {{.activation = 8.0, .message = 1.0}};
  Schedule schedule = generated("gpipe", 1, 2);
  BOOST_CHECK_EQUAL(times_of(schedule, simulate(schedule, costs).value(), 0),
                    "0F0 0..1, 0F1 1..2, 0B0 2..4.5, 0B1 4.5..7, STEP0 7..7");
  BOOST_CHECK_EQUAL(simulate(schedule, costs).value().peak_memory[0], 16.0);
  auto& program = schedule.programs[0];
  program = {{Verb::forward, 0, 0},        {Verb::forward, 0, 1},   {Verb::recompute, 0, 0},
             {Verb::backward, 0, 0},       {Verb::recompute, 0, 1}, {Verb::backward_input, 0, 1},
             {Verb::backward_weight, 0, 1}};
  const Simulation written = simulate(schedule, costs).value();
  BOOST_CHECK_EQUAL(times_of(schedule, written, 0),
                    "0F0 0..1, 0F1 1..2, 0R0 2..2.5, 0B0 2.5..4.5, 0R1 4.5..5, 0I1 5..6, "
                    "0W1 6..7.25");
  BOOST_CHECK_EQUAL(written.peak_memory[0], 8.0 + 1.0);  // R of one, the other's input
}

BOOST_AUTO_TEST_CASE(memory_by_class) {
  CostModel costs = unit_costs();
  costs.stages = {{.forward = 1.0}, {.forward = 3.0}};
  costs.memory = {{.activation = 10.0,
                   .weight_stash = 4.0,
                   .weights = 100.0,
                   .gradients = 50.0,
                   .optimizer = 200.0,
                   .message = 2.0}};
  Schedule schedule = generated("zb-h1", 2, 4);
  schedule.channel.credit = 4;
  const Simulation simulation = simulate(schedule, costs).value();
  BOOST_CHECK_EQUAL(most(simulation, 0, MemoryClass::activations), 20.0);
  BOOST_CHECK_EQUAL(most(simulation, 1, MemoryClass::activations), 10.0);
  BOOST_CHECK_EQUAL(most(simulation, 1, MemoryClass::weight_stash), 8.0);
  BOOST_CHECK_EQUAL(most(simulation, 0, MemoryClass::weights), 100.0);
  BOOST_CHECK_EQUAL(most(simulation, 0, MemoryClass::gradients), 50.0);
  BOOST_CHECK_EQUAL(most(simulation, 0, MemoryClass::optimizer), 200.0);
  BOOST_CHECK_EQUAL(most(simulation, 1, MemoryClass::buffers), 2.0);  // 0F1, while 1F0 runs
  for (const std::vector<MemoryPoint>& points : simulation.memory) {
    const MemoryPoint& last = points.back();
    BOOST_CHECK_EQUAL(last.time, simulation.actions[&points - simulation.memory.data()].back().end);
    const std::vector<double> left(last.bytes, last.bytes + memory_class_count);
    const std::vector<double> wanted = {0.0, 0.0, 100.0, 0.0, 200.0, 0.0};
    BOOST_CHECK_EQUAL_COLLECTIONS(left.begin(), left.end(), wanted.begin(), wanted.end());
  }
  const Simulation peaks = simulate(schedule, costs, {.with_memory = false}).value();
  BOOST_CHECK(peaks.memory.empty());
  BOOST_CHECK(peaks.peak_memory == simulation.peak_memory);
}

BOOST_AUTO_TEST_CASE(versions_of_asynchronous_schedules) {
  CostModel costs = unit_costs();
  costs.memory = {{.activation = 0.0, .weight_stash = 0.0, .weights = 1.0}};
  const auto staleness_at_end = [](const Schedule& schedule, const Simulation& simulation,
                                   std::size_t rank) {
    // Of the last backward: the version that its STEP starts from, less what its forward read.
    const TimedAction& step = simulation.actions[rank].back();
    const TimedAction& backward = simulation.actions[rank][simulation.actions[rank].size() - 2];
    BOOST_CHECK(schedule.programs[rank].back().verb == Verb::step);
    BOOST_CHECK_EQUAL(backward.version, backward.forward_version);
    return step.version - backward.forward_version;
  };
  const Schedule pipedream = generated("pipedream", 4, 12);
  const Simulation stashed = simulate(pipedream, costs).value();
  for (std::size_t rank = 0; rank < 4; ++rank) {
    BOOST_CHECK_EQUAL(staleness_at_end(pipedream, stashed, rank), 3 - static_cast<int>(rank));
    BOOST_CHECK_EQUAL(stashed.peak_memory[rank], 4.0 - static_cast<double>(rank));
  }
  const Schedule two = generated("pipedream-2bw", {.ranks = 4, .micro_batches = 24, .group = 4});
  const Simulation buffered = simulate(two, costs).value();
  for (std::size_t rank = 0; rank < 4; ++rank) {
    BOOST_CHECK_EQUAL(staleness_at_end(two, buffered, rank), 1);
    BOOST_CHECK_EQUAL(buffered.peak_memory[rank], 2.0);
  }
}
