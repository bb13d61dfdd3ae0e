// Generation on the grid's own actors: whatever the stages, shards, replicas, schedule and order of
// messages, the tokens are those of the whole model on one stream, each prompt gone on with once.
#define BOOST_TEST_MODULE generation
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <limits>
#include <set>

#include "models/peft/tuning.hpp"
#include "tests/sim/generation_scene.hpp"

using namespace collie;
using namespace collie::testing;
namespace data = boost::unit_test::data;

namespace {

struct Case {
  const char* name;
  TinyRun run;
};
std::ostream& operator<<(std::ostream& out, const Case& of) {
  return out << of.name;
}

std::shared_ptr<const Tuning> tuning_of(TuningMethod method) {
  Tuning tuning;
  tuning.method = method;
  tuning.virtual_tokens = 2;
  tuning.bottleneck = 6;
  if (method == TuningMethod::lora) {
    tuning.rank = 3;
    tuning.targets = {"all-linear"};
    tuning.dropout = 0.2;
  }
  return std::make_shared<const Tuning>(tuning);
}

const std::vector<Case> cases = {
    {"alone", {.grid = {1, 1, 1}}},
    {"stages", {.grid = {1, 1, 3}}},
    {"stages, gpt2", {.grid = {1, 1, 2}, .family = "gpt2", .tied = true}},
    {"shards", {.grid = {1, 2, 1}}},
    {"shards that share heads", {.grid = {1, 4, 2}, .family = "qwen3"}},
    {"two replicas", {.grid = {2, 1, 1}}},
    {"three replicas", {.grid = {3, 1, 2}}},
    {"all axes", {.grid = {2, 2, 2}}},
    {"interleaved", {.grid = {1, 2, 2}, .schedule = "interleaved", .chunks = 2}},
    {"V placement", {.grid = {2, 1, 2}, .schedule = "zbv"}},
    {"both directions", {.grid = {1, 2, 2}, .schedule = "chimera"}},
    {"asynchronous", {.grid = {1, 1, 2}, .schedule = "pipedream-2bw", .micro_batches = 4}},
    {"slices", {.grid = {1, 1, 2}, .schedule = "seq1f1b", .slices = 2}},
    {"ZeRO-3", {.grid = {2, 1, 2}, .zero = 3}},
    {"ZeRO-3, shards", {.grid = {3, 2, 1}, .zero = 3}},
    {"ZeRO-3, copies", {.grid = {3, 1, 2}, .zero = 3, .zero_copies = true}},
    {"early updates", {.grid = {1, 1, 2}, .post_validates = true}},
    {"lora", {.grid = {1, 2, 2}, .tuning = tuning_of(TuningMethod::lora)}},
    {"prefix", {.grid = {2, 1, 2}, .tuning = tuning_of(TuningMethod::prefix)}},
    {"prompt", {.grid = {1, 2, 2}, .tuning = tuning_of(TuningMethod::prompt)}},
    {"ia3", {.grid = {1, 2, 1}, .tuning = tuning_of(TuningMethod::ia3)}},
    {"houlsby", {.grid = {1, 1, 2}, .tuning = tuning_of(TuningMethod::houlsby)}},
};

void check_equal(const Result<std::vector<GeneratedSequence>>& made,
                 const std::vector<GeneratedSequence>& expected) {
  BOOST_REQUIRE_MESSAGE(made.ok(), (made.ok() ? "" : made.error().message));
  BOOST_REQUIRE_EQUAL(made->size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    BOOST_TEST_CONTEXT("prompt " << i) {
      BOOST_TEST((*made)[i].ids == expected[i].ids, boost::test_tools::per_element());
      BOOST_TEST(to_string((*made)[i].finish) == to_string(expected[i].finish));
      BOOST_TEST((*made)[i].prompt == expected[i].prompt);
    }
  }
}

}  // namespace

BOOST_DATA_TEST_CASE(any_grid_and_order_makes_the_tokens_of_one_stream, data::make(cases), of) {
  for (const std::uint64_t seed : {1, 2, 3}) {
    Scene scene(of.run);
    auto world =
        make_simulated_world(scene.options(), scene.grid().executors(),
                             {.seed = seed, .duplicate_probability = 0.2, .reorder = true});
    train(*world, scene.grid(), 3);
    const Prompts prompts = some_prompts(11);
    check_equal(scene.generate(*world, prompts, greedy(), 3),
                alone(scene.grid(), prompts, greedy()));
    // Nothing of it is left: the next round and the next step are as ever.
    Wanted drawn = greedy();
    drawn.options.sampling = {.temperature = 1.5, .top_k = 20, .top_p = 0.9, .seed = seed};
    const Prompts one = some_prompts(1);
    check_equal(scene.generate(*world, one, drawn, 1), alone(scene.grid(), one, drawn));
    train(*world, scene.grid(), 1);
  }
}

BOOST_AUTO_TEST_CASE(actors_make_the_same) {
  for (const Case& of : cases) {
    TinyRun run = of.run;
    run.inline_streams = false;
    Scene scene(run);
    auto world = make_local_world(scene.options(), scene.grid().executors(), 2);
    train(*world, scene.grid(), 3);
    const Prompts prompts = some_prompts(11);
    BOOST_TEST_CONTEXT(of.name) {
      check_equal(scene.generate(*world, prompts, greedy(), 3),
                  alone(scene.grid(), prompts, greedy()));
    }
  }
}

BOOST_AUTO_TEST_CASE(no_prompt_is_lost_or_doubled_whatever_the_counts) {
  for (const int dp : {1, 2, 3}) {
    for (const int zero : {0, 3}) {
      TinyRun run{.grid = {dp, 1, 2}, .zero = zero, .zero_copies = true};
      Scene scene(run);
      auto world = make_simulated_world(scene.options(), scene.grid().executors(), {.seed = 4});
      const std::vector<GeneratedSequence> all = alone(scene.grid(), some_prompts(14), greedy());
      for (const std::size_t count : {1, 2, 3, 4, 5, 7, 14}) {
        for (const int rows : {1, 2, 8}) {
          const std::vector<GeneratedSequence> expected(
              all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count));
          check_equal(scene.generate(*world, some_prompts(count), greedy(), rows), expected);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(generation_between_steps_leaves_training_as_it_is) {
  const TinyRun run{.grid = {2, 2, 2}};
  const TinyOutcome expected = simulate(run, 5, 4);
  Scene scene(run);
  auto world = make_simulated_world(scene.options(), scene.grid().executors(), {.seed = 5});
  TinyOutcome last;
  for (int step = 0; step < 4; ++step) {
    Result<RoundOutcome> round = world->round(tiny_request(scene.grid(), step));
    BOOST_REQUIRE(round.ok());
    last.hash = round->parameter_hash;
    BOOST_REQUIRE(scene.generate(*world, some_prompts(5), greedy(), 2).ok());
  }
  BOOST_TEST(last.hash == expected.hash);
}

BOOST_AUTO_TEST_CASE(sequences_end_at_end_tokens) {
  Scene scene({.grid = {2, 1, 2}});
  auto world = make_simulated_world(scene.options(), scene.grid().executors(), {.seed = 6});
  const Prompts prompts = some_prompts(11);
  const auto whole = alone(scene.grid(), prompts, greedy());
  Wanted wanted = greedy();
  wanted.end_ids = {whole[0].ids[1], whole[5].ids[0]};
  const auto expected = alone(scene.grid(), prompts, wanted);
  std::set<std::string_view> reasons;
  for (const GeneratedSequence& sequence : expected) reasons.insert(to_string(sequence.finish));
  BOOST_TEST(reasons.size() == 3U);  // an end token, the number asked for, the context
  check_equal(scene.generate(*world, prompts, wanted, 3), expected);
}

BOOST_AUTO_TEST_CASE(bounded_memory_means_fewer_sequences_and_then_a_refusal) {
  Scene scene({.grid = {1, 1, 2}});
  auto world = make_simulated_world(scene.options(), scene.grid().executors(), {.seed = 7});
  const Prompts prompts = some_prompts(4);
  Wanted wanted = greedy();
  wanted.cache_bytes_max = 16 * 4 * 2 * 2 * 4 * 4;  // one sequence
  const auto expected = alone(scene.grid(), prompts, wanted);
  check_equal(scene.generate(*world, prompts, wanted, 8), expected);
  --wanted.cache_bytes_max;
  const auto refused = scene.generate(*world, prompts, wanted, 8);
  BOOST_REQUIRE(!refused.ok());
  BOOST_TEST((refused.error().code == ErrorCode::out_of_memory));
  BOOST_TEST(refused.error().message.find("one sequence of 16 tokens take 4096 bytes") !=
             std::string::npos);
}

BOOST_AUTO_TEST_CASE(logits_that_are_no_numbers_end_a_sequence_not_the_world) {
  Scene scene({.grid = {2, 1, 2}});
  auto world = make_simulated_world(scene.options(), scene.grid().executors(), {.seed = 8});
  const auto set_gain = [&](float value) {
    for (ModelExecutor* executor : scene.grid().executors()) {
      const int gain = executor->parameters().find("final_norm");
      if (gain < 0) continue;
      Tensor values = executor->parameters().value(gain);
      values.mutable_data<float>()[0] = value;
    }
  };
  const Prompts prompts = some_prompts(5);
  const auto expected = alone(scene.grid(), prompts, greedy());
  set_gain(std::numeric_limits<float>::quiet_NaN());
  const auto broken = scene.generate(*world, prompts, greedy(), 2);
  BOOST_REQUIRE(broken.ok());
  for (const GeneratedSequence& sequence : *broken) {
    BOOST_TEST((sequence.finish == FinishReason::non_finite));
    BOOST_TEST(sequence.ids.empty());
  }
  set_gain(1.0F);
  check_equal(scene.generate(*world, prompts, greedy(), 2), expected);
}
