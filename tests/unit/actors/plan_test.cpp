// What a plan says before a run is what the run then takes.
#define BOOST_TEST_MODULE plan
#include "actors/plan.hpp"

#include <boost/test/unit_test.hpp>

#include "tests/unit/actors/measured_grid.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

void check_prediction(const std::vector<std::string>& overrides) {
  std::string name;
  for (const std::string& override_text : overrides) name += override_text + " ";
  const RunConfig config = proportioned_config(overrides);
  Result<Plan> plan = make_plan(config);
  BOOST_REQUIRE_MESSAGE(plan.ok(), name);
  MeasuredGrid grid(config);
  grid.train(3);
  for (std::size_t i = 0; i < plan->shards.size(); ++i) {
    const auto predicted = static_cast<double>(plan->shards[i].peak_bytes);
    const auto measured = static_cast<double>(grid.memory_of(static_cast<int>(i)).peak_bytes);
    BOOST_TEST_MESSAGE(fmt::format("{}shard {}: predicted {:.0f}, measured {:.0f}, ratio {:.3f}",
                                   name, i, predicted, measured, predicted / measured));
    BOOST_CHECK_MESSAGE(
        predicted >= 0.9 * measured && predicted <= 1.1 * measured,
        name << "shard " << i << " predicted " << predicted << " measured " << measured);
  }
}

void check_grid_of(const std::string& grid) {
  for (const char* dtype : {"float32", "bfloat16"}) {
    for (const char* recompute : {"none", "attention", "full"}) {
      check_prediction(
          {grid, std::string("model.dtype=") + dtype, std::string("train.recompute=") + recompute});
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(one_stage_takes_what_was_planned) {
  check_grid_of("grid.pp=1");
}
BOOST_AUTO_TEST_CASE(two_stages_take_what_was_planned) {
  check_grid_of("grid.pp=2");
}
BOOST_AUTO_TEST_CASE(two_tensor_shards_take_what_was_planned) {
  check_grid_of("grid.tp=2");
}

BOOST_AUTO_TEST_CASE(tuned_runs_take_what_was_planned) {
  check_prediction({"tuning.method=lora", "tuning.targets=[\"all-linear\"]", "grid.pp=2"});
  check_prediction({"tuning.method=lora", "train.recompute=full", "grid.tp=2"});
}

// Rank 8 beside q_proj and v_proj of four layers: 4 * 2 * 2 * 8 * 128 numbers, each with a gradient
// and two moments.
BOOST_AUTO_TEST_CASE(what_is_frozen_keeps_no_gradient_and_no_state) {
  const RunConfig config = proportioned_config({"tuning.method=lora"});
  const Plan plan = make_plan(config).value();
  constexpr std::int64_t trained = 4 * 2 * 2 * 8 * 128;
  BOOST_CHECK_EQUAL(plan.trained_count, trained);
  BOOST_CHECK_EQUAL(plan.shards[0].training_bytes, 3 * 4 * trained);
  const auto expected = static_cast<double>(4 * (plan.parameter_count + 4 * trained));
  BOOST_CHECK_CLOSE(static_cast<double>(plan.shards[0].parameter_bytes), expected, 0.1);  // pages
  const std::size_t whole = make_plan(proportioned_config({}))->shards[0].training_bytes;
  BOOST_CHECK_EQUAL(whole, 3 * 4 * plan.parameter_count);

  MeasuredGrid grid(config);
  grid.train(2);
  ModelExecutor& executor = grid.executor(0);
  std::size_t bytes = executor.parameters().gradients().size_bytes();
  for (const OptimizerState& state : executor.training_state()) bytes += state.values->size_bytes();
  BOOST_CHECK_EQUAL(bytes, 3 * 4 * trained);
}

// Under bfloat16 they have no float32 values either: two bytes each, and of what is trained a copy
// more; model.master_weights says nothing to that.
BOOST_AUTO_TEST_CASE(what_is_frozen_is_kept_in_the_compute_type_alone) {
  constexpr std::int64_t trained = 4 * 2 * 2 * 8 * 128;
  std::vector<std::string> overrides = {"tuning.method=lora", "model.dtype=bfloat16"};
  for (const char* masters : {"model.master_weights=true", "model.master_weights=false"}) {
    overrides.resize(2);
    overrides.emplace_back(masters);
    const RunConfig config = proportioned_config(overrides);
    const Plan plan = make_plan(config).value();
    const auto expected = static_cast<double>(2 * plan.parameter_count + (2 + 4 * 4) * trained);
    BOOST_CHECK_CLOSE(static_cast<double>(plan.shards[0].parameter_bytes), expected, 0.5);
    MeasuredGrid grid(config);
    grid.train(2);
    Parameters& parameters = grid.executor(0).parameters();
    BOOST_CHECK_EQUAL(parameters.values().size_bytes(), 4 * trained);
    BOOST_CHECK_EQUAL(parameters.computes().size_bytes(), 2 * (plan.parameter_count + trained));
    check_prediction(overrides);
  }
  check_prediction({"tuning.method=lora", "model.dtype=bfloat16", "grid.pp=2"});
}

// The 124M shape of GPT-2: 2 bytes a parameter where float32 values beside them made 6.
BOOST_AUTO_TEST_CASE(a_tuned_model_takes_two_bytes_a_parameter) {
  const std::string text = R"({"model": {"tokenizer_vocab_size": 50257, "dtype": "bfloat16",
      "fresh": {"model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_layer": 12,
                "n_head": 12, "n_positions": 1024}},
    "data": {"sequence_length": 256}, "tuning": {"method": "lora"}, "train": {"max_steps": 1}})";
  const Plan plan = make_plan(parse_config(text, "test", {}).value()).value();
  const auto parameters = static_cast<double>(plan.parameter_count);
  const auto trained = static_cast<double>(plan.trained_count);
  const double expected = 2.0 * parameters + 18.0 * trained;
  BOOST_CHECK_CLOSE(static_cast<double>(plan.shards[0].parameter_bytes), expected, 0.1);
  BOOST_TEST_MESSAGE(fmt::format("{:.4f} bytes a parameter",
                                 static_cast<double>(plan.shards[0].parameter_bytes) / parameters));
}

BOOST_AUTO_TEST_CASE(lanes_and_schedules_are_part_of_the_plan) {
  check_prediction({"grid.threads=2"});
  check_prediction({"grid.pp=2", "grid.schedule=gpipe"});
}

BOOST_AUTO_TEST_CASE(a_plan_counts_every_parameter_once) {
  const RunConfig config = proportioned_config({"grid.pp=2"});
  Result<Plan> plan = make_plan(config);
  BOOST_REQUIRE(plan.ok());
  // Embedding and head 2 * 2048 * 128; a layer 4 * 128 * 128 + 3 * 128 * 344 + 2 * 128; last norm.
  const std::int64_t expected = 2 * 2048 * 128 + 4 * (65536 + 132096 + 256) + 128;
  BOOST_CHECK_EQUAL(plan->parameter_count, expected);
  BOOST_CHECK_EQUAL(plan->shards[0].parameter_count + plan->shards[1].parameter_count, expected);
  BOOST_CHECK_EQUAL(plan->shards[0].layer_begin, 0);
  BOOST_CHECK_EQUAL(plan->shards[1].layer_end, 4);
  BOOST_CHECK_EQUAL(plan->shards[0].micro_batches_in_flight, 2);
  BOOST_CHECK_EQUAL(plan->shards[1].micro_batches_in_flight, 1);
  BOOST_CHECK_EQUAL(plan->tokens_per_step, 4 * 128 * 4);
}

BOOST_AUTO_TEST_CASE(replicas_multiply_the_whole_and_a_limit_refuses_it) {
  Result<Plan> single = make_plan(proportioned_config({}));
  Result<Plan> doubled = make_plan(proportioned_config({"grid.dp=2"}));
  BOOST_REQUIRE(single.ok() && doubled.ok());
  BOOST_CHECK_EQUAL(doubled->total_bytes, 2 * single->total_bytes);
  const auto limit = [&](std::size_t bytes) {
    return proportioned_config({fmt::format("limits.memory_bytes={}", bytes)});
  };
  BOOST_CHECK(check_plan(*make_plan(limit(single->total_bytes))).ok());
  const Status refused = check_plan(*make_plan(limit(single->total_bytes - 1)));
  BOOST_REQUIRE(!refused.ok());
  BOOST_CHECK(refused.error().code == ErrorCode::out_of_memory);
}

BOOST_AUTO_TEST_CASE(data_is_part_of_what_must_fit) {
  const RunConfig config = proportioned_config({"limits.memory_bytes=1000000000"});
  const ModelSetup model = set_up_model(config).value();
  const std::size_t shards = make_plan(config, model)->total_bytes;
  const std::size_t room = 1'000'000'000 - shards;
  BOOST_CHECK(check_plan(*make_plan(config, model, {.data_bytes = room})).ok());
  const Status refused = check_plan(*make_plan(config, model, {.data_bytes = room + 1}));
  BOOST_REQUIRE(!refused.ok());
  BOOST_CHECK(refused.error().message.find("of it data") != std::string::npos);
  BOOST_CHECK(refused.error().message.find("allowed by limits.memory_bytes") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_evaluation_needs_neither_gradients_nor_optimizer) {
  const RunConfig config = proportioned_config({});
  const ModelSetup model = set_up_model(config).value();
  const Plan training = make_plan(config, model).value();
  const Plan evaluation = make_plan(config, model, {.kind = RunKind::evaluate}).value();
  // Value, gradient and two moments against the value alone.
  BOOST_CHECK_EQUAL(training.shards[0].parameter_bytes, 4 * evaluation.shards[0].parameter_bytes);
  BOOST_CHECK_GT(evaluation.total_bytes, evaluation.shards[0].parameter_bytes);
  BOOST_CHECK_LT(2 * evaluation.total_bytes, training.total_bytes);
}

// Under bfloat16 a loss of the user's gets the logits of a chunk of 512 tokens in float32.
BOOST_AUTO_TEST_CASE(the_logits_of_a_loss_of_ones_own_are_planned) {
  const RunConfig config = proportioned_config({"model.dtype=bfloat16"});
  const ModelSetup model = set_up_model(config).value();
  const std::size_t without = make_plan(config, model)->total_bytes;
  const std::size_t with = make_plan(config, model, {.custom_loss = true})->total_bytes;
  const double logits = 512.0 * 2048 * sizeof(float);
  BOOST_CHECK_CLOSE(static_cast<double>(with - without), logits, 2.0);
}
