// ZeRO on tiny grids: replicas that share optimizer state train to the last bit what replicas that
// all hold it train; those that share gradients too, as long as a step has one micro-batch, and
// otherwise the same sums in another association, which no order of messages and no number of
// stages changes.
#define BOOST_TEST_MODULE zero
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "tests/sim/tiny_grid.hpp"

using namespace collie;
using namespace collie::testing;
namespace data = boost::unit_test::data;

namespace {

constexpr int steps = 20;
const std::vector<std::string> names = {"adamw",     "sgd",  "lion", "adan",   "sophia",
                                        "adafactor", "muon", "lomo", "adalomo"};

struct Case {
  const char* name;
  TinyRun run;
};

std::ostream& operator<<(std::ostream& out, const Case& one) {
  return out << one.name;
}

const std::vector<Case> cases = {
    {"two replicas", {.grid = {2, 1, 1}}},
    {"five replicas", {.grid = {5, 1, 1}, .micro_batches = 2}},
    {"stages", {.grid = {2, 1, 2}}},
    {"stages, tied", {.grid = {2, 1, 2}, .tied = true}},
    {"one stage, tied", {.grid = {3, 1, 1}, .tied = true}},
    {"tensor shards", {.grid = {2, 2, 1}}},
    {"tensor shards that share heads", {.grid = {2, 4, 2}, .family = "qwen3"}},
    {"gpt2", {.grid = {3, 2, 1}, .family = "gpt2"}},
    {"bfloat16", {.grid = {2, 1, 2}, .dtype = DType::bf16}},
    {"gpipe", {.grid = {2, 1, 2}, .schedule = "gpipe"}},
    {"zero bubble", {.grid = {2, 2, 2}, .schedule = "zb-h1"}},
    {"V placement", {.grid = {2, 1, 2}, .schedule = "zbv"}},
    {"slices", {.grid = {2, 1, 2}, .schedule = "seq1f1b", .slices = 2}},
    {"recomputed", {.grid = {2, 1, 2}, .recompute = Recompute::full}},
};

TinyRun with_zero(TinyRun run, int zero) {
  run.zero = zero;
  return run;
}

void check_same(const TinyOutcome& a, const TinyOutcome& b) {
  BOOST_TEST(a.losses == b.losses);
  BOOST_TEST(a.norms == b.norms);
  BOOST_TEST(a.hash == b.hash);
}

double worst_difference(const std::vector<double>& a, const std::vector<double>& b) {
  BOOST_REQUIRE(a.size() == b.size());
  double worst = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::abs(a[i] - b[i]) / b[i]);
  }
  return worst;
}

std::uint64_t hash_in_disorder(const TinyRun& run, std::uint64_t seed) {
  TinyGrid grid(run);
  auto world = make_simulated_world(grid.options(), grid.executors(),
                                    {.seed = seed, .duplicate_probability = 0.3, .reorder = true});
  return train(*world, grid, 3).hash;
}

}  // namespace

BOOST_DATA_TEST_CASE(shared_state_trains_the_same_bits, data::make(cases), one) {
  check_same(simulate(with_zero(one.run, 1), 1, steps), simulate(one.run, 2, steps));
}

BOOST_DATA_TEST_CASE(every_optimizer_can_share_its_state, data::make(names), name) {
  const TinyRun run{.grid = {3, 2, 2}, .micro_batches = 2, .optimizer = name};
  check_same(simulate(with_zero(run, 1), 1, steps), simulate(run, 2, steps));
}

// One micro-batch a step: sums over replicas of the same numbers in the same order.
BOOST_DATA_TEST_CASE(shared_gradients_of_one_micro_batch_train_the_same_bits, data::make(cases),
                     one) {
  TinyRun run = one.run;
  run.micro_batches = 1;
  const bool needs_more = run.schedule == "zbv" || run.schedule == "zb-h1";
  const bool is_other_sum = run.tied || run.family == "gpt2" || run.slices > 1;
  if (needs_more || is_other_sum) return;
  check_same(simulate(with_zero(run, 2), 1, steps), simulate(run, 2, steps));
}

BOOST_DATA_TEST_CASE(every_optimizer_can_share_gradients, data::make(names), name) {
  const TinyRun run{.grid = {3, 2, 2}, .micro_batches = 1, .optimizer = name};
  check_same(simulate(with_zero(run, 2), 1, steps), simulate(run, 2, steps));
}

BOOST_DATA_TEST_CASE(shared_gradients_are_the_same_sums_otherwise_associated, data::make(cases),
                     one) {
  const TinyOutcome plain = simulate(one.run, 1, steps);
  const TinyOutcome shared = simulate(with_zero(one.run, 2), 1, steps);
  const double losses = worst_difference(shared.losses, plain.losses);
  const double norms = worst_difference(shared.norms, plain.norms);
  fmt::print("{:32} losses {:.1e} norms {:.1e}\n", one.name, losses, norms);
  BOOST_TEST(losses < (one.run.dtype == DType::bf16 ? 1e-2 : 1e-5));
  BOOST_TEST(norms < (one.run.dtype == DType::bf16 ? 1e-1 : 1e-4));
}

// Values are only elsewhere: nothing else changes.
BOOST_DATA_TEST_CASE(shared_values_train_as_shared_gradients_do, data::make(cases), one) {
  check_same(simulate(with_zero(one.run, 3), 1, steps), simulate(with_zero(one.run, 2), 2, steps));
}

BOOST_DATA_TEST_CASE(every_optimizer_can_share_values, data::make(names), name) {
  const TinyRun run{.grid = {3, 2, 2}, .micro_batches = 1, .optimizer = name};
  check_same(simulate(with_zero(run, 3), 1, steps), simulate(run, 2, steps));
}

BOOST_AUTO_TEST_CASE(neither_message_orders_nor_stages_change_shared_gradients) {
  for (const int zero : {1, 2, 3}) {
    const TinyRun run{.grid = {2, 2, 2}, .zero = zero};
    const std::uint64_t expected = simulate(run, 0, 3).hash;
    for (std::uint64_t seed = 1; seed < 20; ++seed) {
      BOOST_REQUIRE_EQUAL(hash_in_disorder(run, seed), expected);
    }
    TinyRun whole{.grid = {3, 1, 1}, .zero = zero};
    const std::uint64_t of_one_stage = simulate(whole, 0, 3).hash;
    for (const int pp : {2, 4}) {
      whole.grid.pp = pp;
      BOOST_TEST(simulate(whole, 0, 3).hash == of_one_stage);
      whole.schedule = "gpipe";
      BOOST_TEST(simulate(whole, 0, 3).hash == of_one_stage);
      whole.schedule = "1f1b";
    }
  }
}

BOOST_AUTO_TEST_CASE(actors_train_what_the_simulation_does) {
  for (const int zero : {1, 2, 3}) {
    TinyRun run{.grid = {2, 2, 2}, .zero = zero};
    const std::uint64_t expected = simulate(run, 0, 5).hash;
    run.inline_streams = false;
    TinyGrid grid(run);
    auto world = make_local_world(grid.options(), grid.executors(), 2);
    BOOST_TEST(train(*world, grid, 5).hash == expected);
  }
}

BOOST_AUTO_TEST_CASE(evaluations_read_shared_values) {
  const auto evaluated = [](int zero) {
    TinyGrid grid({.grid = {2, 2, 2}, .micro_batches = 1, .rows = 2, .zero = zero});
    auto world = make_simulated_world(grid.options(), grid.executors(), {.seed = 1});
    train(*world, grid, 3);
    RoundRequest request;
    request.mode = Mode::evaluate;
    request.step = 9;
    request.micro_batches = 2;
    return world->round(request).value();
  };
  const RoundOutcome whole = evaluated(0), shared = evaluated(3);
  BOOST_TEST(whole.loss > 0.0);
  BOOST_TEST(shared.loss == whole.loss);
  BOOST_TEST(shared.row_losses == whole.row_losses);
}

namespace {

struct Bytes {
  std::size_t values = 0, gradients = 0, state = 0;
};

// The most that a replica holds, over its shards together.
Bytes bytes_of_a_replica(const TinyRun& run) {
  TinyGrid grid(run);
  const Executors executors = grid.executors();
  const std::size_t shards = executors.size() / static_cast<std::size_t>(grid.grid().dp);
  Bytes most;
  for (std::size_t first = 0; first < executors.size(); first += shards) {
    Bytes bytes;
    for (std::size_t i = first; i < first + shards; ++i) {
      bytes.values += executors[i]->parameters().values().size_bytes();
      bytes.gradients += executors[i]->parameters().gradients().size_bytes();
      for (const OptimizerState& state : executors[i]->training_state()) {
        bytes.state += state.values->size_bytes();
      }
    }
    most = {std::max(most.values, bytes.values), std::max(most.gradients, bytes.gradients),
            std::max(most.state, bytes.state)};
  }
  return most;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_replica_holds_its_share) {
  for (const int dp : {2, 4}) {
    const TinyRun run{.grid = {dp, 1, 1}, .layers = 16};
    const Bytes plain = bytes_of_a_replica(run);
    const Bytes one = bytes_of_a_replica(with_zero(run, 1));
    const Bytes two = bytes_of_a_replica(with_zero(run, 2));
    const Bytes three = bytes_of_a_replica(with_zero(run, 3));
    fmt::print("dp {}: values {} -> {}, gradients {} -> {}, state {} -> {} bytes\n", dp,
               plain.values, three.values, plain.gradients, two.gradients, plain.state, one.state);
    const double share = 1.05 / dp;  // parameters are not cut
    BOOST_TEST(one.gradients == plain.gradients);
    BOOST_TEST(static_cast<double>(one.state) <= share * static_cast<double>(plain.state));
    BOOST_TEST(static_cast<double>(two.gradients) <= share * static_cast<double>(plain.gradients));
    BOOST_TEST(two.state == one.state);
    BOOST_TEST(two.values == plain.values);
    BOOST_TEST(static_cast<double>(three.values) <= share * static_cast<double>(plain.values));
    BOOST_TEST(three.gradients == two.gradients);
  }
}
