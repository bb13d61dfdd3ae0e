// Every optimizer on tiny grids: the same parameters for any number of stages and any order of
// messages, and with tensor shards, between which some updates pause, nearly the same losses.
#define BOOST_TEST_MODULE optimizers_on_grids
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <set>

#include "tests/sim/tiny_grid.hpp"

using namespace collie;
using namespace collie::testing;
namespace data = boost::unit_test::data;

namespace {

constexpr int steps = 6;
const std::vector<std::string> names = {"adamw",     "sgd",  "lion", "adan",   "sophia",
                                        "adafactor", "muon", "lomo", "adalomo"};

double worst_loss_difference(const TinyOutcome& a, const TinyOutcome& b) {
  BOOST_REQUIRE(a.losses.size() == b.losses.size());
  double worst = 0.0;
  for (std::size_t i = 0; i < a.losses.size(); ++i) {
    worst = std::max(worst, std::abs(a.losses[i] - b.losses[i]) / b.losses[i]);
  }
  return worst;
}

}  // namespace

BOOST_DATA_TEST_CASE(stages_and_message_orders_change_nothing, data::make(names), name) {
  for (const bool tied : {false, true}) {
    TinyRun run{.grid = {1, 1, 1}, .tied = tied, .optimizer = name};
    const TinyOutcome whole = simulate(run, 1, steps);
    for (const int pp : {2, 4}) {
      run.grid.pp = pp;
      for (const std::uint64_t seed : {1U, 2U}) {
        BOOST_CHECK_MESSAGE(simulate(run, seed, steps).hash == whole.hash,
                            name << " tied " << tied << " pp " << pp << " seed " << seed);
      }
    }
  }
}

BOOST_DATA_TEST_CASE(pauses_between_shards_may_come_in_any_order, data::make(names), name) {
  const TinyRun run{.grid = {2, 2, 2}, .optimizer = name};
  const std::uint64_t expected = simulate(run, 0, 2).hash;
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    BOOST_REQUIRE_EQUAL(simulate(run, seed, 2).hash, expected);
  }
  TinyGrid grid(run);
  auto world = make_simulated_world(grid.options(), grid.executors(),
                                    {.seed = 5, .duplicate_probability = 0.3, .reorder = true});
  BOOST_TEST(train(*world, grid, 2).hash == expected);
}

BOOST_DATA_TEST_CASE(tensor_shards_train_alike, data::make(names), name) {
  TinyRun run{.grid = {1, 1, 1}, .optimizer = name};
  const TinyOutcome whole = simulate(run, 1, steps);
  for (const int tp : {2, 4}) {
    run.grid.tp = tp;
    const double worst = worst_loss_difference(simulate(run, 1, steps), whole);
    fmt::print("{:10} tp {}: {:.1e}\n", name, tp, worst);
    BOOST_TEST(worst < 1e-5);
  }
}

BOOST_AUTO_TEST_CASE(each_rule_has_its_own_parameters) {
  std::set<std::uint64_t> hashes;
  for (const std::string& name : names) {
    hashes.insert(simulate({.grid = {1, 1, 1}, .optimizer = name}, 1, 2).hash);
  }
  BOOST_TEST(hashes.size() == names.size() - 1);  // adalomo is adafactor without a first moment
}
