// Whole runs of Sophia: they estimate curvature when they should, go on after a stop as if there
// had been none, take the memory that was planned, and refuse what does not go together.
#define BOOST_TEST_MODULE curvature
#include "actors/curvature.hpp"

#include <boost/test/unit_test.hpp>

#include "actors/plan.hpp"
#include "tests/unit/actors/measured_grid.hpp"
#include "tests/unit/actors/tiny_trainer.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

using Overrides = std::vector<std::string>;

// rho: such that curvature tells within a few steps.
Overrides sophia(Overrides more = {}) {
  more.insert(more.begin(), {"train.optimizer.name=sophia", "train.optimizer.rho=100",
                             "train.optimizer.hessian_interval=3"});
  return more;
}

std::uint64_t hash_of(Result<TrainingReport> result) {
  BOOST_REQUIRE_MESSAGE(result.ok(), test::message_of(result));
  return result->parameter_hash;
}

class EverySecond final : public Optimizer {
 public:
  Steps step(Stream&, OptimizerStep, Parameters&) override { return {}; }
  bool is_elementwise() const override { return true; }
  std::vector<OptimizerState> state() override { return {}; }
  bool wants_hessian(std::int64_t updates_done) const override { return updates_done % 2 == 0; }
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_round_goes_before_the_steps_that_want_it) {
  const EverySecond optimizer;
  RoundRequest step;
  step.step = 4;
  step.micro_batches = 10;
  step.learning_rate = 0.5;
  step.clip_norm = 1.0;
  step.want_hash = true;
  const auto estimate = curvature_round(step, optimizer, {}, 7).value();
  BOOST_TEST((estimate.mode == Mode::train));
  BOOST_TEST(estimate.step == 4);
  BOOST_TEST(estimate.micro_batches == 10);
  BOOST_TEST(estimate.clip_norm == 0.0);
  BOOST_TEST(!estimate.want_hash);
  BOOST_TEST((estimate.curvature == LabelDraw{7, 4}));
  for (const auto& [share, micro_batches] :
       {std::pair(0.5, 5), {0.1, 1}, {0.3, 3}, {0.31, 4}, {1e-6, 1}}) {
    OptimizerOptions options;
    options.hessian_share = share;
    BOOST_TEST(curvature_round(step, optimizer, options, 7)->micro_batches == micro_batches);
  }
  step.mode = Mode::evaluate;
  BOOST_TEST(!curvature_round(step, optimizer, {}, 7).has_value());
  step.mode = Mode::train;
  step.step = 5;
  BOOST_TEST(!curvature_round(step, optimizer, {}, 7).has_value());
}

BOOST_AUTO_TEST_CASE(stages_evaluations_and_early_updates_change_nothing) {
  TinyTrainer tiny;
  const std::uint64_t expected = hash_of(tiny.train("whole", sophia({"grid.pp=1"})));
  BOOST_TEST(hash_of(tiny.train("two", sophia({"grid.pp=2"}))) == expected);
  BOOST_TEST(hash_of(tiny.train("early", sophia({"grid.pp=2", "train.post_validation=true"}))) ==
             expected);
  BOOST_TEST(hash_of(tiny.train("once", {"train.optimizer.name=sophia", "grid.pp=1",
                                         "train.optimizer.rho=100"})) != expected);
  const Overrides held_out = {"grid.pp=2", "data.validation_fraction=0.1"};
  Overrides evaluated = held_out;
  evaluated.insert(evaluated.end(), {"eval.every_steps=2", "eval.max_batches=2"});
  BOOST_TEST(hash_of(tiny.train("evaluated", sophia(evaluated))) ==
             hash_of(tiny.train("unevaluated", sophia(held_out))));
}

// After 5 steps in the middle of an interval, after 6 before the next estimate.
BOOST_AUTO_TEST_CASE(a_stopped_run_ends_like_one_that_was_not) {
  TinyTrainer tiny;
  const std::vector<Overrides> runs = {
      {"grid.pp=2"},
      {"grid.dp=2", "train.zero=2", "train.accumulation=2"},
      {"grid.pp=2", "tuning.method=lora", "tuning.rank=2", "train.optimizer.hessian_share=0.5"}};
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const Overrides overrides = sophia(runs[i]);
    const std::uint64_t whole = hash_of(tiny.train(fmt::format("whole{}", i), overrides));
    for (const std::int64_t stop : {5, 6}) {
      const std::string run = fmt::format("run{}_{}", i, stop);
      hash_of(tiny.train(run, overrides, stop));
      BOOST_TEST(hash_of(tiny.train(run, overrides)) == whole);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_step_of_ones_own_is_preceded_by_its_estimate) {
  TinyTrainer tiny;
  TrainerOptions options;
  options.train_step = [](StepContext& step) { return step.round(); };
  Result<Trainer> trainer = Trainer::create(tiny.config("own", sophia()), options);
  BOOST_REQUIRE_MESSAGE(trainer.ok(), test::message_of(trainer));
  BOOST_TEST(hash_of(trainer->run()) == hash_of(tiny.train("plain", sophia())));
}

BOOST_AUTO_TEST_CASE(a_run_takes_what_was_planned) {
  for (const Overrides& shape : {Overrides{}, {"grid.pp=2"}, {"grid.tp=2"}}) {
    const RunConfig config = proportioned_config(sophia(shape));
    const Plan plan = make_plan(config).value();
    MeasuredGrid grid(config);
    grid.train(2);
    for (std::size_t shard = 0; shard < plan.shards.size(); ++shard) {
      const std::size_t measured = grid.memory_of(static_cast<int>(shard)).peak_bytes;
      fmt::print("planned {} measured {}\n", plan.shards[shard].peak_bytes, measured);
      const double ratio =
          static_cast<double>(plan.shards[shard].peak_bytes) / static_cast<double>(measured);
      BOOST_TEST(ratio > 0.9);
      BOOST_TEST(ratio < 1.1);
    }
  }
  const auto state_bytes = [](const char* name) {
    const std::string chosen = std::string("train.optimizer.name=") + name;
    return make_plan(proportioned_config({chosen})).value().shards.front().training_bytes;
  };
  BOOST_TEST(state_bytes("sophia") == state_bytes("adamw"));  // two states
  BOOST_TEST(state_bytes("sophia") > state_bytes("lion"));
}

BOOST_AUTO_TEST_CASE(what_does_not_go_together_is_refused_in_a_line) {
  const auto refusal = [](const Overrides& overrides, bool custom_loss = false) {
    const RunConfig config = proportioned_config(sophia(overrides));
    const ModelSetup setup = set_up_model(config).value();
    const auto plan = make_plan(config, setup, {RunKind::train, custom_loss});
    BOOST_REQUIRE(!plan.ok());
    BOOST_TEST(plan.error().message.find('\n') == std::string::npos);
    return plan.error().message;
  };
  const auto mentions = [](const std::string& text, const char* part) {
    BOOST_TEST(text.find(part) != std::string::npos, text);
  };
  mentions(refusal({"grid.pp=2", "grid.schedule=pipedream"}), "choose a synchronous schedule");
  mentions(refusal({}, true), "loss");
  mentions(refusal({"train.optimizer.in_backward=true"}), "sophia needs all gradients");
}
