// Updating before the global gradient norm is known changes when things happen, never what: with
// and without it a run ends with the same parameters, whether no step clips, some do or all.
#define BOOST_TEST_MODULE post_validation
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "tests/sim/tiny_grid.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

constexpr int steps = 20;

TinyRun run_of(const std::string& schedule, Grid grid, int micro_batches = 4) {
  TinyRun run;
  run.schedule = schedule;
  run.grid = grid;
  run.layers = 8;
  run.micro_batches = micro_batches;
  run.clip_norm = 0.0;
  return run;
}

TinyRun bypassing(TinyRun run) {
  run.post_validates = true;
  return run;
}

void check_same(const TinyOutcome& outcome, const TinyOutcome& wanted) {
  BOOST_CHECK_EQUAL(outcome.hash, wanted.hash);
  BOOST_CHECK(outcome.losses == wanted.losses);
  BOOST_CHECK(outcome.norms == wanted.norms);
}

int clipped_steps(const TinyOutcome& outcome, double clip_norm) {
  return static_cast<int>(
      std::ranges::count_if(outcome.norms, [&](double norm) { return norm > clip_norm; }));
}

// Greatest norms with which some steps are clipped, and all.
double clips_some(const TinyRun& run) {
  std::vector<double> norms = simulate(run, 0, steps).norms;
  std::ranges::sort(norms);
  return norms[steps / 2];
}
constexpr double clips_all = 0.45;

TinyOutcome as_actors(TinyRun run) {
  run.inline_streams = false;
  TinyGrid grid(run);
  auto world = make_local_world(grid.options(), grid.executors(), 2);
  return train(*world, grid, steps);
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_schedule_ends_as_without_it) {
  const TinyRun runs[] = {run_of("1f1b", {.pp = 2}),         run_of("1f1b", {.pp = 3}),
                          run_of("zb-h1", {.pp = 4}, 8),     run_of("zb-h2", {.pp = 3}, 6),
                          run_of("zbv", {.pp = 2}),          run_of("zbv", {.pp = 4}, 8),
                          run_of("interleaved", {.pp = 2}),  run_of("gpipe", {.pp = 1}),
                          run_of("chimera", {.pp = 2}),      run_of("dualpipe", {.pp = 2}),
                          run_of("zbv", {.dp = 2, .pp = 2}), run_of("1f1b", {.tp = 2, .pp = 2}),
                          run_of("zb-h1", {2, 2, 2})};
  for (TinyRun run : runs) {
    const double some = clips_some(run);
    for (const double clip : {0.0, 1e9, some, clips_all}) {
      BOOST_TEST_CONTEXT(run.schedule << " dp " << run.grid.dp << " tp " << run.grid.tp << " pp "
                                      << run.grid.pp << " clip " << clip) {
        run.clip_norm = clip;
        const TinyOutcome wanted = simulate(run, 1, steps);
        const TinyOutcome early = simulate(bypassing(run), 2, steps);
        check_same(early, wanted);
        BOOST_CHECK_EQUAL(wanted.overlaps + wanted.rollbacks, 0);
        const int clipped = clip > 0.0 ? clipped_steps(wanted, clip) : 0;
        if (clip == some) BOOST_CHECK(clipped > 0 && clipped < steps);
        if (clip == clips_all) BOOST_CHECK_EQUAL(clipped, steps);
        // A rank alone knows the norm of all, and one whose own part asks for clipping waits.
        if (clip == some) BOOST_CHECK_EQUAL(early.rollbacks > 0, run.grid.pp > 1);
        if (clipped == 0) BOOST_CHECK_EQUAL(early.rollbacks, 0);
        if (clipped == 0 && run.grid.pp > 1) BOOST_CHECK_GT(early.overlaps, 0);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(orders_of_messages_change_nothing) {
  struct Case {
    TinyRun run;
    std::uint64_t seeds;
  };
  for (Case wanted : {Case{run_of("zbv", {.pp = 2}), 150}, Case{run_of("zb-h1", {.pp = 3}, 6), 50},
                      Case{run_of("1f1b", {2, 2, 2}), 25}}) {
    wanted.run.clip_norm = clips_some(wanted.run);
    const std::uint64_t expected = simulate(wanted.run, 0, steps).hash;
    int rollbacks = 0, overlaps = 0;
    for (std::uint64_t seed = 0; seed < wanted.seeds; ++seed) {
      TinyGrid grid(bypassing(wanted.run));
      auto world =
          make_simulated_world(grid.options(), grid.executors(),
                               {.seed = seed, .duplicate_probability = 0.2, .reorder = true});
      const TinyOutcome outcome = train(*world, grid, steps);
      BOOST_REQUIRE_EQUAL(outcome.hash, expected);
      rollbacks += outcome.rollbacks;
      overlaps += outcome.overlaps;
    }
    BOOST_CHECK_GT(rollbacks, 0);
    BOOST_CHECK_GT(overlaps, 0);
  }
}

BOOST_AUTO_TEST_CASE(actors_end_as_without_it) {
  for (TinyRun run : {run_of("zb-h2", {.pp = 3}, 6), run_of("zbv", {.pp = 2}),
                      run_of("1f1b", {.tp = 2, .pp = 2}), run_of("chimera", {.pp = 2})}) {
    const double some = clips_some(run);
    for (const double clip : {0.0, some, clips_all}) {
      BOOST_TEST_CONTEXT(run.schedule << " clip " << clip) {
        run.clip_norm = clip;
        const TinyOutcome early = as_actors(bypassing(run));
        check_same(early, simulate(run, 1, steps));
        // The first rank hears of nobody before it updates.
        if (clip == some) BOOST_CHECK_GT(early.rollbacks, 0);
        if (clip == 0.0) BOOST_CHECK_EQUAL(early.rollbacks, 0);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(other_optimizers_and_dtypes_are_taken_back_too) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const char* optimizer : {"adamw", "sgd"}) {
      for (const bool tied : {false, true}) {
        BOOST_TEST_CONTEXT(to_string(dtype) << " " << optimizer << " tied " << tied) {
          TinyRun run = run_of("zbv", {.pp = 2});
          run.dtype = dtype;
          run.optimizer = optimizer;
          run.tied = tied;
          run.recompute = Recompute::full;
          run.clip_norm = clips_some(run);
          const TinyOutcome early = simulate(bypassing(run), 3, steps);
          check_same(early, simulate(run, 4, steps));
          BOOST_CHECK_GT(early.rollbacks, 0);
        }
      }
    }
  }
}

namespace {

// Cross entropy; a loss where the label is poison is not finite, while its gradient is.
constexpr std::int32_t poison = -7;

class PoisonedLoss final : public Loss {
 public:
  void forward_backward(Stream&, Tensor& logits_cv, const Tensor& labels_c, float scale,
                        Tensor& losses_c) const override {
    const std::int64_t vocabulary = logits_cv.dim(1);
    for (std::int64_t token = 0; token < logits_cv.dim(0); ++token) {
      const std::int32_t label = labels_c.data<std::int32_t>()[token];
      float* row = logits_cv.mutable_data<float>() + token * vocabulary;
      losses_c.mutable_data<float>()[token] = of_one(row, vocabulary, label, scale);
    }
  }

 private:
  static float of_one(float* row, std::int64_t vocabulary, std::int32_t label, float scale) {
    if (label < 0) {
      std::fill_n(row, vocabulary, 0.0F);
      return label == poison ? std::numeric_limits<float>::infinity() : 0.0F;
    }
    float total = 0.0F;
    for (std::int64_t v = 0; v < vocabulary; ++v) total += std::exp(row[v]);
    const float loss = std::log(total) - row[label];
    for (std::int64_t v = 0; v < vocabulary; ++v) {
      row[v] = scale * (std::exp(row[v]) / total - (v == label ? 1.0F : 0.0F));
    }
    return loss;
  }
};

struct Refused {
  std::string error;
  std::uint64_t hash = 0;        // of what the executors hold after the error
  std::uint64_t good_hash = 0;   // of the last good step
  std::uint64_t later_hash = 0;  // after a good step that followed
};

std::uint64_t held_hash(const TinyGrid& grid) {
  std::uint64_t sum = 0;
  const Executors executors = grid.executors();
  const auto of_replica = static_cast<std::size_t>(grid.grid().pp * grid.grid().tp);
  for (std::size_t i = 0; i < of_replica; ++i) sum += executors[i]->parameter_hash();
  return sum;
}

// The third step is poisoned: in its loss, or by an update before it that makes all overflow.
Refused refused(const TinyRun& run, bool by_overflow, std::uint64_t seed) {
  TinyGrid grid(run);
  WorldOptions options = grid.options();
  const BatchSource source = options.batches;
  options.batches = [=](Mode mode, std::int64_t step, int replica, int micro_batch) {
    MicroBatch batch = source(mode, step, replica, micro_batch);
    // A label that does not count anyway.
    if (step == 2 && micro_batch == 0 && replica == 0 && !by_overflow) {
      batch.labels_t.mutable_data<std::int32_t>()[0] = poison;
    }
    return batch;
  };
  auto world = make_simulated_world(options, grid.executors(), {.seed = seed, .reorder = true});
  const auto request = [&](int step) {
    RoundRequest wanted = tiny_request(grid, step);
    if (by_overflow && step == 1) wanted.learning_rate = 1e25;
    return wanted;
  };
  Refused outcome;
  for (int step = 0; step < 3; ++step) {
    const auto round = world->round(request(step), request(step + 1));
    if (round.ok()) outcome.good_hash = round->parameter_hash;
    if (!round.ok()) outcome.error = round.error().message;
  }
  outcome.hash = held_hash(grid);
  if (!by_overflow) outcome.later_hash = world->round(request(3)).value().parameter_hash;
  return outcome;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_refused_step_leaves_the_parameters_of_the_last_good_one) {
  for (TinyRun run :
       {run_of("1f1b", {.pp = 3}), run_of("zbv", {.pp = 2}), run_of("zb-h1", {.dp = 2, .pp = 2})}) {
    run.loss = std::make_shared<PoisonedLoss>();
    for (const bool by_overflow : {false, true}) {
      BOOST_TEST_CONTEXT(run.schedule << " by overflow " << by_overflow) {
        const Refused plain = refused(run, by_overflow, 0);
        BOOST_CHECK(plain.error.find("step 3: ") == 0);
        for (std::uint64_t seed = 0; seed < 10; ++seed) {
          const Refused early = refused(bypassing(run), by_overflow, seed);
          BOOST_CHECK_EQUAL(early.error, plain.error);
          BOOST_CHECK_EQUAL(early.hash, plain.good_hash);
          BOOST_CHECK_EQUAL(early.later_hash, plain.later_hash);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(between_steps_that_do_not_overlap_all_is_validated) {
  TinyRun run = run_of("zbv", {.pp = 2});
  run.clip_norm = clips_some(run);
  TinyGrid grid(bypassing(run));
  auto world = make_simulated_world(grid.options(), grid.executors(), {.seed = 5});
  RoundRequest evaluation = tiny_request(grid, 0);
  evaluation.mode = Mode::evaluate;
  for (int step = 0; step < steps; ++step) {
    const bool goes_on = step % 4 != 3;
    const auto next = goes_on ? std::optional(tiny_request(grid, step + 1)) : std::nullopt;
    const RoundOutcome outcome = world->round(tiny_request(grid, step), next).value();
    if (goes_on) continue;
    BOOST_CHECK_EQUAL(held_hash(grid), outcome.parameter_hash);
    const std::uint64_t hash = simulate(run, 9, step + 1).hash;
    BOOST_CHECK_EQUAL(outcome.parameter_hash, hash);
    BOOST_CHECK(world->round(evaluation).ok());
    BOOST_CHECK_EQUAL(held_hash(grid), hash);
  }
}
