// Updates within the backward, against the same optimizer that updates at the end of the step from
// all gradients at once: the same parameters to the last bit, and less memory.
#define BOOST_TEST_MODULE lomo
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "tests/sim/tiny_grid.hpp"

using namespace collie;
using namespace collie::testing;
namespace data = boost::unit_test::data;

namespace {

constexpr int steps = 20;
const std::vector<std::string> names = {"lomo", "adalomo"};

TinyOutcome plain(TinyRun run) {
  run.in_backward = UpdateInBackward::no;
  return simulate(run, 0, steps);
}

void check_same(const TinyRun& run, const TinyOutcome& expected, std::uint64_t seed,
                const std::string& what) {
  const TinyOutcome outcome = simulate(run, seed, steps);
  BOOST_CHECK_MESSAGE(outcome.hash == expected.hash, run.optimizer << ": " << what);
  BOOST_TEST(outcome.norms == expected.norms, boost::test_tools::per_element());
}

}  // namespace

BOOST_DATA_TEST_CASE(stages_and_message_orders_change_nothing, data::make(names), name) {
  for (const bool tied : {false, true}) {
    TinyRun run{.grid = {1, 1, 1}, .tied = tied, .optimizer = name, .clip_norm = 0.0};
    const TinyOutcome expected = plain(run);
    run.in_backward = UpdateInBackward::one_pass;
    for (const int pp : {1, 2, 4}) {
      run.grid.pp = pp;
      for (const std::uint64_t seed : {1U, 2U}) {
        check_same(run, expected, seed, fmt::format("pp {} tied {} seed {}", pp, tied, seed));
      }
    }
  }
}

BOOST_DATA_TEST_CASE(clipping_by_the_norm_of_the_grid_takes_two_passes, data::make(names), name) {
  for (const bool tied : {false, true}) {
    TinyRun run{.grid = {1, 1, 1}, .tied = tied, .optimizer = name, .clip_norm = 0.5};
    const TinyOutcome expected = plain(run);
    BOOST_TEST(expected.norms.front() > 0.5);
    run.in_backward = UpdateInBackward::two_pass;
    for (const int pp : {1, 2, 4}) {
      run.grid.pp = pp;
      check_same(run, expected, 3, fmt::format("pp {} tied {}", pp, tied));
    }
  }
}

BOOST_DATA_TEST_CASE(every_synchronous_schedule_ends_alike,
                     data::make(names) *
                         data::make<std::string>({"gpipe", "zb-h1", "zb-h2", "interleaved",
                                                  "interleaved-zb", "zbv", "v-half", "dualpipev",
                                                  "hanayo", "seq1f1b"}),
                     name, schedule) {
  TinyRun run{.grid = {1, 1, 2}, .schedule = schedule, .layers = 8, .optimizer = name};
  if (find_generator(schedule)->takes.slices) run.slices = 2;
  const TinyOutcome expected = plain(run);
  run.in_backward = UpdateInBackward::two_pass;
  check_same(run, expected, 1, schedule);
  run.clip_norm = 0.0;
  const TinyOutcome unclipped = plain(run);
  run.in_backward = UpdateInBackward::one_pass;
  check_same(run, unclipped, 1, schedule);
}

BOOST_DATA_TEST_CASE(kinds_of_models_and_of_work_end_alike, data::make(names), name) {
  const std::vector<TinyRun> runs = {
      {.grid = {1, 1, 2}, .family = "gpt2"},
      {.grid = {1, 1, 1}, .rows = 2, .family = "gpt2", .dtype = DType::bf16},
      {.grid = {1, 1, 2}, .family = "qwen3"},
      {.grid = {1, 1, 2}, .dtype = DType::bf16},
      {.grid = {1, 1, 2}, .dtype = DType::bf16, .master_weights = false},
      {.grid = {1, 1, 2},
       .dtype = DType::bf16,
       .master_weights = false,
       .rounding = Rounding::stochastic},
      {.grid = {1, 1, 2}, .recompute = Recompute::full},
      {.grid = {1, 1, 2}, .recompute = Recompute::attention},
      {.grid = {1, 1, 1}, .micro_batches = 1},
  };
  for (TinyRun run : runs) {
    run.optimizer = name;
    const TinyOutcome expected = plain(run);
    run.in_backward = UpdateInBackward::two_pass;
    check_same(run, expected, 1, run.family);
  }
}

BOOST_DATA_TEST_CASE(tensor_shards_and_replicas_end_alike, data::make(names), name) {
  for (const Grid grid :
       {Grid{1, 2, 1}, Grid{1, 4, 1}, Grid{2, 1, 1}, Grid{2, 2, 1}, Grid{2, 2, 2}}) {
    for (const bool tied : {false, true}) {
      TinyRun run{.grid = grid, .micro_batches = 2, .tied = tied, .optimizer = name};
      const TinyOutcome expected = plain(run);
      run.in_backward = UpdateInBackward::two_pass;
      for (const std::uint64_t seed : {1U, 2U, 3U}) {
        check_same(run, expected, seed,
                   fmt::format("dp {} tp {} pp {} seed {} tied {}", grid.dp, grid.tp, grid.pp, seed,
                               tied));
      }
    }
  }
}

BOOST_DATA_TEST_CASE(messages_may_come_twice_and_in_any_order, data::make(names), name) {
  TinyRun run{.grid = {2, 2, 2}, .micro_batches = 2, .optimizer = name};
  run.in_backward = UpdateInBackward::two_pass;
  const std::uint64_t expected = simulate(run, 0, 3).hash;
  for (std::uint64_t seed = 1; seed < 10; ++seed) {
    TinyGrid grid(run);
    auto world =
        make_simulated_world(grid.options(), grid.executors(),
                             {.seed = seed, .duplicate_probability = 0.3, .reorder = true});
    BOOST_TEST(train(*world, grid, 3).hash == expected);
  }
}

// Of updates smaller than half a step of bfloat16, rounding to nearest loses all.
BOOST_DATA_TEST_CASE(weights_in_bfloat16_alone_train_on_every_grid, data::make(names), name) {
  for (const Rounding rounding : {Rounding::nearest, Rounding::stochastic}) {
    TinyRun run{.grid = {1, 1, 1}, .dtype = DType::bf16, .optimizer = name};
    const TinyOutcome with_masters = simulate(run, 1, steps);
    run.master_weights = false;
    run.rounding = rounding;
    run.in_backward = UpdateInBackward::two_pass;
    const TinyOutcome whole = simulate(run, 1, steps);
    BOOST_TEST(whole.hash != with_masters.hash);
    BOOST_CHECK_CLOSE(whole.losses.back(), with_masters.losses.back(), 2.0);
    for (const int pp : {2, 4}) {
      run.grid = {1, 1, pp};
      check_same(run, whole, 2, fmt::format("bfloat16 alone, pp {}", pp));
    }
    run.grid = {2, 2, 1};
    run.micro_batches = 2;
    BOOST_CHECK_CLOSE(simulate(run, 3, steps).losses.back(), whole.losses.back(), 2.0);
  }
}

// The first step is not clipped, each other by the factor that the step before would have had.
BOOST_DATA_TEST_CASE(one_pass_clips_by_the_norm_of_the_step_before, data::make(names), name) {
  TinyRun run{.grid = {1, 1, 1}, .optimizer = name, .clip_norm = 0.5};
  run.in_backward = UpdateInBackward::one_pass;
  const TinyOutcome clipped = simulate(run, 1, steps);
  for (const int pp : {2, 4}) {
    run.grid.pp = pp;
    check_same(run, clipped, 2, fmt::format("pp {}", pp));
  }
  run.clip_norm = 0.0;
  const TinyOutcome free = simulate(run, 1, steps);
  BOOST_TEST(free.norms[1] == clipped.norms[1]);
  BOOST_TEST(free.norms[2] != clipped.norms[2]);
}

BOOST_AUTO_TEST_CASE(a_gradient_that_is_not_finite_stops_the_run) {
  class Poison final : public Loss {
   public:
    std::int64_t rows_together() const override { return 0; }
    void forward_backward(Stream&, Tensor& logits_tv, const Tensor&, float,
                          Tensor& losses_t) const override {
      std::fill_n(logits_tv.mutable_data<float>(), logits_tv.element_count(),
                  std::numeric_limits<float>::infinity());
      std::fill_n(losses_t.mutable_data<float>(), losses_t.element_count(), 1.0F);
    }
  };
  TinyRun run{.grid = {1, 1, 2}, .optimizer = "lomo", .clip_norm = 0.0};
  run.in_backward = UpdateInBackward::one_pass;
  run.loss = std::make_shared<const Poison>();
  TinyGrid grid(run);
  const auto world = make_simulated_world(grid.options(), grid.executors(), {});
  const Result<RoundOutcome> outcome = world->round(tiny_request(grid, 0));
  BOOST_REQUIRE(!outcome.ok());
  BOOST_TEST(outcome.error().message.find("resume from the last checkpoint") != std::string::npos);
}
