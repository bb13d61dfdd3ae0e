// Sophia's rounds of sampled labels: the same curvature and parameters for any number of stages,
// schedule and order of messages, nearly the same over tensor shards and replicas; and nothing but
// the curvature changes in them.
#define BOOST_TEST_MODULE sophia
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "tests/sim/tiny_grid.hpp"

using namespace collie;
using namespace collie::testing;
namespace data = boost::unit_test::data;

namespace {

constexpr int steps = 7;  // three estimates

TinyRun sophia_on(Grid grid, const std::string& schedule = "1f1b") {
  TinyRun run;
  run.grid = grid;
  run.schedule = schedule;
  run.optimizer = "sophia";
  return run;
}

struct Case {
  const char* name;
  TinyRun run;
};
std::ostream& operator<<(std::ostream& out, const Case& one) {
  return out << one.name;
}

TinyRun sliced(TinyRun run, int slices) {
  run.slices = slices;
  return run;
}
TinyRun recomputed(TinyRun run, Recompute recompute) {
  run.recompute = recompute;
  return run;
}
TinyRun validated(TinyRun run) {
  run.post_validates = true;
  return run;
}
TinyRun chosen(TinyRun run) {
  run.policy = {{Verb::backward, Verb::forward}, 3};
  return run;
}

const std::vector<Case> cases = {
    {"two stages", sophia_on({1, 1, 2})},
    {"four stages, gpipe", sophia_on({1, 1, 4}, "gpipe")},
    {"zero bubble", sophia_on({1, 1, 2}, "zb-h1")},
    {"V placement", sophia_on({1, 1, 2}, "zbv")},
    {"recomputed", recomputed(sophia_on({1, 1, 2}), Recompute::full)},
    {"attention recomputed", recomputed(sophia_on({1, 1, 1}), Recompute::attention)},
    {"a policy", chosen(sophia_on({1, 1, 2}, "gpipe"))},
    {"post-validation", validated(sophia_on({1, 1, 4}))},
};

std::vector<double> values_of(const Tensor& tensor) {
  return {tensor.data<float>(), tensor.data<float>() + tensor.element_count()};
}
std::vector<double> state_of(const TinyGrid& grid, std::size_t shard, std::size_t index) {
  return values_of(*grid.executors()[shard]->optimizer()->state().at(index).values);
}

double relative_difference(const std::vector<double>& a, const std::vector<double>& b) {
  BOOST_REQUIRE(a.size() == b.size());
  double difference = 0.0, squares = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    squares += b[i] * b[i];
  }
  return std::sqrt(difference / squares);
}

RoundRequest estimate_of(const TinyGrid& grid, int step) {
  const auto estimate = grid.curvature_before(tiny_request(grid, step));
  BOOST_REQUIRE(estimate.has_value());
  return *estimate;
}

// After one estimate, of a grid that holds the whole model in one shard or in shards of one size.
std::vector<double> first_curvature(const TinyRun& run) {
  TinyGrid grid(run);
  auto world = make_simulated_world(grid.options(), grid.executors(), {.seed = 4});
  BOOST_REQUIRE(world->round(estimate_of(grid, 0)).ok());
  return state_of(grid, 0, 1);
}

}  // namespace

BOOST_AUTO_TEST_CASE(an_estimate_changes_the_curvature_alone) {
  TinyGrid grid(sophia_on({1, 1, 2}));
  auto world = make_simulated_world(grid.options(), grid.executors(), {.seed = 1});
  const auto hash = [&] {
    return grid.executors()[0]->parameter_hash() + grid.executors()[1]->parameter_hash();
  };
  const std::uint64_t before = hash();
  const Result<RoundOutcome> outcome = world->round(estimate_of(grid, 0));
  BOOST_REQUIRE(outcome.ok());
  BOOST_TEST(outcome->valid_tokens == 26);
  BOOST_TEST(hash() == before);
  for (const std::size_t shard : {0U, 1U}) {
    BOOST_TEST(std::ranges::all_of(state_of(grid, shard, 0), [](double m) { return m == 0.0; }));
    const std::vector<double> curvature = state_of(grid, shard, 1);
    BOOST_TEST(std::ranges::all_of(curvature, [](double h) { return h >= 0.0; }));
    const auto known = std::ranges::count_if(curvature, [](double h) { return h > 0.0; });
    BOOST_TEST(static_cast<double>(known) > 0.5 * static_cast<double>(curvature.size()));
  }
  BOOST_TEST(!grid.curvature_before(tiny_request(grid, 1)).has_value());
  BOOST_TEST(!grid.curvature_before(tiny_request(grid, 2)).has_value());
  BOOST_TEST(grid.curvature_before(tiny_request(grid, 3)).has_value());
}

BOOST_AUTO_TEST_CASE(updates_feel_the_curvature) {
  TinyRun run = sophia_on({1, 1, 1});
  const std::uint64_t often = simulate(run, 1, steps).hash;
  run.hessian_interval = 1000;  // at the first step alone
  BOOST_TEST(simulate(run, 1, steps).hash != often);
  run.hessian_interval = 3;
  run.hessian_share = 0.5;
  BOOST_TEST(simulate(run, 1, steps).hash != often);
}

BOOST_DATA_TEST_CASE(any_schedule_ends_as_one_stage_does, data::make(cases), one) {
  for (const double share : {1.0, 0.6, 0.1}) {
    for (const bool tied : {false, true}) {
      TinyRun whole = sophia_on({1, 1, 1}), run = one.run;
      whole.hessian_share = run.hessian_share = share;
      whole.tied = run.tied = tied;
      BOOST_CHECK_MESSAGE(simulate(run, 2, steps).hash == simulate(whole, 1, steps).hash,
                          one.name << ", share " << share << ", tied " << tied);
    }
  }
}

BOOST_AUTO_TEST_CASE(slices_of_the_sequence_draw_the_same) {
  TinyRun run = sliced(sophia_on({1, 1, 2}, "seq1f1b"), 2);
  run.hessian_share = 0.5;
  const std::uint64_t expected = simulate(run, 1, steps).hash;
  run.grid.pp = 4;
  BOOST_TEST(simulate(run, 2, steps).hash == expected);
  const auto whole = first_curvature(sophia_on({1, 1, 1}));
  run = sliced(sophia_on({1, 1, 1}, "seq1f1b"), 2);
  BOOST_TEST(relative_difference(first_curvature(run), whole) < 1e-5);
}

BOOST_AUTO_TEST_CASE(neither_message_orders_nor_actors_change_anything) {
  TinyRun run = sophia_on({2, 2, 2});
  run.hessian_share = 0.5;
  const std::uint64_t expected = simulate(run, 0, 4).hash;
  for (std::uint64_t seed = 1; seed < 12; ++seed) {
    TinyGrid grid(run);
    auto world =
        make_simulated_world(grid.options(), grid.executors(),
                             {.seed = seed, .duplicate_probability = 0.3, .reorder = true});
    BOOST_REQUIRE_EQUAL(train(*world, grid, 4).hash, expected);
  }
  run.inline_streams = false;
  run.threads = 2;
  TinyGrid grid(run);
  auto world = make_local_world(grid.options(), grid.executors(), 2);
  BOOST_TEST(train(*world, grid, 4).hash == expected);
}

// The same eight rows as any number of replicas and micro-batches; sums in another association.
BOOST_AUTO_TEST_CASE(replicas_and_shards_measure_alike) {
  const auto of = [](Grid grid, int micro_batches, std::int64_t rows, int zero = 0) {
    TinyRun run = sophia_on(grid);
    run.micro_batches = micro_batches;
    run.rows = rows;
    run.zero = zero;
    return run;
  };
  const std::vector<double> whole = first_curvature(of({1, 1, 1}, 8, 1));
  BOOST_TEST(relative_difference(first_curvature(of({2, 1, 1}, 4, 1)), whole) < 1e-5);
  BOOST_TEST(relative_difference(first_curvature(of({4, 1, 1}, 2, 1)), whole) < 1e-5);
  for (const int tp : {2, 4}) {
    const TinyOutcome one = simulate(of({1, 1, 1}, 4, 1), 1, steps);
    const TinyOutcome split = simulate(of({1, tp, 1}, 4, 1), 1, steps);
    BOOST_TEST(relative_difference(split.losses, one.losses) < 1e-6);
    BOOST_TEST(relative_difference(split.norms, one.norms) < 1e-5);
  }
}

BOOST_AUTO_TEST_CASE(adapters_and_bfloat16_have_curvature_too) {
  Tuning lora;
  lora.method = TuningMethod::lora;
  lora.rank = 3;
  lora.dropout = 0.3;
  lora.targets = {"all-linear"};
  TinyRun run = sophia_on({1, 1, 1});
  run.tuning = std::make_shared<const Tuning>(lora);
  const std::uint64_t tuned = simulate(run, 1, steps).hash;
  run.grid.pp = 4;
  BOOST_TEST(simulate(run, 2, steps).hash == tuned);
  TinyRun narrow = sophia_on({1, 1, 1});
  narrow.dtype = DType::bf16;
  for (const bool master_weights : {true, false}) {
    narrow.master_weights = master_weights;
    narrow.grid.pp = 1;
    const std::uint64_t expected = simulate(narrow, 1, steps).hash;
    narrow.grid.pp = 2;
    BOOST_TEST(simulate(narrow, 2, steps).hash == expected);
  }
}

BOOST_AUTO_TEST_CASE(an_estimate_that_is_not_finite_is_refused) {
  TinyGrid grid(sophia_on({1, 1, 2}));
  auto world = make_simulated_world(grid.options(), grid.executors(), {.seed = 1});
  ModelExecutor& last = *grid.executors()[1];
  last.stream().submit([&] {
    Tensor values = last.parameters().value(last.parameters().count() - 1);
    values.mutable_data<float>()[0] = std::numeric_limits<float>::infinity();
  });
  last.stream().synchronize();
  const Result<RoundOutcome> outcome = world->round(estimate_of(grid, 0));
  BOOST_REQUIRE(!outcome.ok());
  BOOST_TEST((outcome.error().code == ErrorCode::non_finite));
  BOOST_TEST(outcome.error().message.starts_with("step 1, estimate of its curvature: "));
  BOOST_TEST(std::ranges::all_of(state_of(grid, 1, 1), [](double h) { return h == 0.0; }));
}
