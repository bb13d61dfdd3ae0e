// Rows made by an independent simulator: times in both metrics, idle time and peak activations.
#define BOOST_TEST_MODULE simulate_golden
#include <boost/test/unit_test.hpp>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "actors/schedule/simulate.hpp"
#include "tests/unit/actors/schedule/generated.hpp"

using namespace collie;
using Json = nlohmann::json;

namespace {

Schedule schedule_of(const Json& row) {
  static const std::map<std::string, const char*> names = {
      {"GPipe", "gpipe"},
      {"1F1B", "1f1b"},
      {"Interleaved1F1B_v2", "interleaved"},
      {"Interleaved1F1B_v4", "interleaved"},
      {"LoopedBFS_v2", "looped-bfs"},
      {"ZB-H1", "zb-h1"},
      {"ZB-H2", "zb-h2"},
      {"InterleavedZB1P_v2", "interleaved-zb"},
      {"ZBV_handcrafted", "zbv"},
      {"DualPipeV", "dualpipev"},
  };
  ScheduleOptions options{.ranks = row["p"], .micro_batches = row["m"]};
  const std::string title = row["schedule"];
  const bool takes_chunks = title.find("_v") != std::string::npos;
  if (takes_chunks) options.chunks = row["chunks"];
  return generated(names.at(title), options);
}

CostModel costs_of(const Json& row) {
  CostModel costs;
  costs.stages = {{.forward = row["tF"], .input = row["tI"], .weight = row["tW"]}};
  if (!row["tFB"].is_null()) costs.stages[0].overlapped = row["tFB"];
  // The rows count a micro-batch from its F to its W.
  const double chunk = 1.0 / row["chunks"].get<double>();
  costs.memory = {{.activation = chunk, .weight_stash = chunk}};
  return costs;
}

void check_row(const Json& row) {
  Schedule schedule = schedule_of(row);
  schedule.channel.credit = schedule.micro_batches;  // the rows know no bound
  const Simulation simulation = simulate(schedule, costs_of(row)).value();
  BOOST_CHECK_EQUAL(simulation.makespan, row["makespan"].get<double>());
  const double work = *std::ranges::max_element(simulation.busy);
  const double span = *std::ranges::max_element(simulation.span);
  BOOST_CHECK_EQUAL(span, row["max_stage_span"].get<double>());
  BOOST_CHECK_EQUAL(simulation.makespan - work, row["idle_makespan"].get<double>());
  BOOST_CHECK_EQUAL(span - work, row["idle_span"].get<double>());
  const auto peaks = row["peak_act_in_stage_units"].get<std::vector<double>>();
  BOOST_CHECK_EQUAL_COLLECTIONS(simulation.peak_memory.begin(), simulation.peak_memory.end(),
                                peaks.begin(), peaks.end());
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_row_of_an_independent_simulator_comes_out_exactly) {
  const std::string path = std::string(COLLIE_TESTS_DIR) + "/goldens/schedules/goldens.json";
  std::ifstream file(path);
  const Json rows = Json::parse(file);
  BOOST_REQUIRE_EQUAL(rows.size(), 90U);
  for (const Json& row : rows) {
    BOOST_TEST_CONTEXT(row["schedule"] << " p=" << row["p"] << " m=" << row["m"]
                                       << " tF=" << row["tF"]) {
      check_row(row);
    }
  }
}
