#define BOOST_TEST_MODULE decoder_tp
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "tests/numerics/decoder_support.hpp"

using namespace collie;
using namespace collie::testing;
namespace data = boost::unit_test::data;

namespace {

constexpr double gradient_tolerance = 2e-5;
constexpr double bf16_loss_tolerance = 2e-3;
constexpr double bf16_gradient_tolerance = 2e-2;

const std::vector<std::string> every_family = {"llama2", "llama3", "llama3_tied", "mistral",
                                               "qwen2",  "qwen3",  "gpt2"};

struct Errors {
  double loss = 0.0;
  WorstGradient gradients;
};

Errors train(const std::string& family, const GridOptions& options) {
  const ModelTraits traits = must(read_model_config(golden_directory(family)));
  TestGrid grid(traits, options);
  grid.load(golden_directory(family));
  const Golden batch(family, "golden.safetensors");
  const std::vector<MicroBatch> batches = {golden_batch(grid.stream(), batch, 0, 1),
                                           golden_batch(grid.stream(), batch, 1, 2)};
  const bool is_bf16 = options.stage.compute_dtype == DType::bf16;
  if (is_bf16) {
    grid.each([&](StageModel& model) { make_exact_in_bf16(model.parameters(), grid.stream()); });
  }
  const Golden golden(family, is_bf16 ? "bf16.safetensors" : "golden.safetensors");
  const std::int64_t valid = batches[0].valid_tokens + batches[1].valid_tokens;
  const double loss = grid.step(batches) / static_cast<double>(valid);
  const WorstGradient worst = compare_gradients(traits, golden, grid.gradients());
  const double loss_error = std::abs(loss - golden.loss()) / golden.loss();
  fmt::print("{:12} tp {} stages {} {}: loss {:.1e}, gradients {:.1e} ({}), all {:.1e}\n", family,
             options.tp, options.cuts.size() + 1, to_string(options.stage.compute_dtype),
             loss_error, worst.error, worst.name, worst.total);
  return {loss_error, worst};
}

void train_and_check(const std::string& family, const GridOptions& options) {
  const Errors errors = train(family, options);
  BOOST_TEST(errors.loss <= 1e-6);
  BOOST_TEST(errors.gradients.error <= gradient_tolerance);
}

}  // namespace

BOOST_DATA_TEST_CASE(shards_match_pytorch, data::make(every_family) * data::make({2, 4}), family,
                     tp) {
  GridOptions options;
  options.tp = tp;
  train_and_check(family, options);
}

BOOST_DATA_TEST_CASE(shards_and_stages_match_pytorch, data::make(every_family), family) {
  GridOptions options;
  options.tp = 2;
  options.cuts = {1};
  options.stage.recompute = Recompute::full;
  train_and_check(family, options);
}

BOOST_DATA_TEST_CASE(bfloat16_shards_match_pytorch, data::make(every_family), family) {
  GridOptions options;
  options.tp = 2;
  options.stage.compute_dtype = DType::bf16;
  const Errors errors = train(family, options);
  BOOST_TEST(errors.loss <= bf16_loss_tolerance);
  BOOST_TEST(errors.gradients.error <= bf16_gradient_tolerance);
}

BOOST_DATA_TEST_CASE(sharded_generation_matches, data::make(every_family), family) {
  const ModelTraits traits = must(read_model_config(golden_directory(family)));
  GridOptions options;
  options.tp = 4;
  TestGrid grid(traits, options);
  grid.load(golden_directory(family));
  const Golden golden(family, "golden.safetensors");
  std::vector<std::int32_t> next = golden.ids("prompt");
  std::vector<std::int32_t> generated;
  for (int count = 0; count < 12; ++count) {
    const std::vector<float> logits = grid.generate(next, 17);
    const auto best = std::max_element(logits.begin(), logits.end());
    next = {static_cast<std::int32_t>(best - logits.begin())};
    generated.push_back(next[0]);
  }
  BOOST_TEST(generated == golden.ids("greedy"), boost::test_tools::per_element());
}

// A vocabulary that no shard size divides: same values, same gradients on any grid.
BOOST_AUTO_TEST_CASE(uneven_vocabulary_and_mlp) {
  const Json config = must(parse_json(
      R"({"model_type": "llama", "vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2,
          "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 50,
          "max_position_embeddings": 64})",
      "config"));
  const ModelTraits traits = must(parse_model_config(config, "config"));
  const Golden golden("llama2", "golden.safetensors");
  std::vector<std::map<std::string, std::vector<float>>> gradients;
  std::vector<double> losses;
  for (const int tp : {1, 2, 4}) {
    GridOptions options;
    options.tp = tp;
    TestGrid grid(traits, options);
    grid.initialize(7);
    losses.push_back(grid.step({golden_batch(grid.stream(), golden)}));
    gradients.push_back(grid.gradients());
  }
  for (std::size_t grid = 1; grid < gradients.size(); ++grid) {
    BOOST_TEST(std::abs(losses[grid] - losses[0]) <= 1e-6 * losses[0]);
    for (const auto& [name, values] : gradients[0]) {
      double difference = 0.0, norm = 0.0;
      for (std::size_t index = 0; index < values.size(); ++index) {
        const double delta = static_cast<double>(values[index]) -
                             static_cast<double>(gradients[grid].at(name)[index]);
        difference += delta * delta;
        norm += static_cast<double>(values[index]) * static_cast<double>(values[index]);
      }
      BOOST_TEST(std::sqrt(difference / norm) <= gradient_tolerance, name);
    }
  }
}
