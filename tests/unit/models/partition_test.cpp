#define BOOST_TEST_MODULE partition
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <random>

#include "models/flops.hpp"
#include "models/partition.hpp"
#include "models/peft/tuning.hpp"
#include "models/registry.hpp"

using namespace collie;

namespace {

double stage_cost(const PartitionCosts& costs, const StageSlice& slice) {
  double total =
      (slice.has_embedding ? costs.embedding : 0.0) + (slice.has_head ? costs.head : 0.0);
  for (std::int64_t layer = slice.layer_begin; layer < slice.layer_end; ++layer) {
    total += costs.layers[static_cast<std::size_t>(layer)];
  }
  return total;
}

double worst_cost(const PartitionCosts& costs, const std::vector<StageSlice>& slices) {
  double worst = 0.0;
  for (const StageSlice& slice : slices) worst = std::max(worst, stage_cost(costs, slice));
  return worst;
}

// Every way to cut, tried out.
double best_by_force(const PartitionCosts& costs, int stages, int stage, std::int64_t begin) {
  const auto layers = static_cast<std::int64_t>(costs.layers.size());
  const bool is_last = stage == stages - 1;
  StageSlice slice{begin, layers, stage == 0, is_last, 0, 1};
  const std::int64_t fewest = is_last && stages > 1 ? 0 : 1;
  if (is_last) return layers - begin >= fewest ? stage_cost(costs, slice) : 1e300;
  double best = 1e300;
  for (std::int64_t end = begin + 1; end <= layers; ++end) {
    slice.layer_end = end;
    best = std::min(
        best, std::max(stage_cost(costs, slice), best_by_force(costs, stages, stage + 1, end)));
  }
  return best;
}

}  // namespace

BOOST_AUTO_TEST_CASE(no_cut_is_better) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> cost(0.1, 10.0);
  for (int trial = 0; trial < 200; ++trial) {
    PartitionCosts costs;
    costs.layers.resize(1 + random() % 9);
    for (double& layer : costs.layers) layer = cost(random);
    costs.embedding = cost(random);
    costs.head = cost(random) * 3.0;
    const int stages = 1 + static_cast<int>(random() % (costs.layers.size() + 1));
    const auto slices = partition_layers(costs, stages);
    BOOST_REQUIRE(slices.ok());
    BOOST_TEST(worst_cost(costs, *slices) <= best_by_force(costs, stages, 0, 0) * (1 + 1e-9));
    std::int64_t next = 0;
    for (const StageSlice& slice : *slices) {
      BOOST_TEST(slice.layer_begin == next);
      next = slice.layer_end;
    }
    BOOST_TEST(next == static_cast<std::int64_t>(costs.layers.size()));
    BOOST_TEST((*slices)[0].has_embedding);
    BOOST_TEST(slices->back().has_head);
  }
}

BOOST_AUTO_TEST_CASE(equal_costs_spread_evenly) {
  PartitionCosts costs;
  costs.layers.assign(7, 1.0);
  const auto slices = partition_layers(costs, 4);
  BOOST_REQUIRE(slices.ok());
  for (const StageSlice& slice : *slices) {
    const std::int64_t layers = slice.layer_end - slice.layer_begin;
    BOOST_TEST((layers == 1 || layers == 2));
  }
}

BOOST_AUTO_TEST_CASE(a_heavy_head_stands_alone) {
  PartitionCosts costs;
  costs.layers.assign(6, 1.0);
  costs.head = 7.0;
  const auto slices = partition_layers(costs, 2);
  BOOST_REQUIRE(slices.ok());
  BOOST_TEST((*slices)[1].layer_begin == 6);
}

BOOST_AUTO_TEST_CASE(too_many_stages_are_refused) {
  PartitionCosts costs;
  costs.layers.assign(3, 1.0);
  BOOST_TEST(partition_layers(costs, 4).ok());
  const auto slices = partition_layers(costs, 5);
  BOOST_REQUIRE(!slices.ok());
  BOOST_TEST(slices.error().message.find("grid.pp to at most 4") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(gpt2_has_its_published_size) {
  const Json config = {{"model_type", "gpt2"},
                       {"vocab_size", 50257},
                       {"n_embd", 768},
                       {"n_layer", 12},
                       {"n_head", 12}};
  const auto traits = parse_model_config(config, "config");
  BOOST_REQUIRE(traits.ok());
  BOOST_TEST(parameter_count(*traits) == 124439808);
  // 12 layers of 12 d^2, and the tied head.
  const std::int64_t products = 12 * 12 * 768 * 768 + 50257 * 768;
  BOOST_TEST(matmul_parameters(*traits) == products);
  const double wanted = 6.0 * static_cast<double>(products) + 12.0 * 12 * 768 * 1024;
  BOOST_TEST(training_flops_per_token(*traits, 1024) == wanted,
             boost::test_tools::tolerance(1e-12));
}

BOOST_AUTO_TEST_CASE(llama2_7b_has_its_published_size) {
  const Json config = {{"model_type", "llama"},   {"vocab_size", 32000},
                       {"hidden_size", 4096},     {"intermediate_size", 11008},
                       {"num_hidden_layers", 32}, {"num_attention_heads", 32}};
  const auto traits = parse_model_config(config, "config");
  BOOST_REQUIRE(traits.ok());
  BOOST_TEST(parameter_count(*traits) == 6738415616);
}

namespace {

ModelTraits tuned_traits() {
  const Json config = {{"model_type", "llama"},  {"vocab_size", 1000},
                       {"hidden_size", 64},      {"intermediate_size", 172},
                       {"num_hidden_layers", 4}, {"num_attention_heads", 4}};
  return parse_model_config(config, "config").value();
}

constexpr double head_products = 1000.0 * 64, layer_products = 64.0 * (4 * 64 + 3 * 172);
constexpr double layer_attention = 4.0 * 64 * 128;  // forward, at 128 tokens

}  // namespace

// Hu et al. 2021: the products with frozen weights have no weight gradient, those with A and B do.
BOOST_AUTO_TEST_CASE(frozen_weights_take_four_operations_a_token) {
  const ModelTraits traits = tuned_traits();
  Tuning lora;
  lora.method = TuningMethod::lora;
  lora.targets = {"q_proj", "v_proj"};
  for (const std::int64_t rank : {1, 8}) {
    lora.rank = rank;
    const double adapters = 4 * 2 * static_cast<double>(rank) * (64 + 64);
    const double wanted =
        4.0 * (4 * layer_products + head_products) + 6.0 * adapters + 3.0 * 4 * layer_attention;
    BOOST_TEST(training_flops_per_token(traits, 128, &lora) == wanted,
               boost::test_tools::tolerance(1e-12));
  }
  lora.modules_to_save = {"lm_head"};
  const double saved = training_flops_per_token(traits, 128, &lora);
  lora.modules_to_save.clear();
  BOOST_TEST(saved - training_flops_per_token(traits, 128, &lora) == 2.0 * head_products,
             boost::test_tools::tolerance(1e-12));
}

BOOST_AUTO_TEST_CASE(what_has_nothing_to_train_below_it_takes_no_backward) {
  const ModelTraits traits = tuned_traits();
  Tuning lora;
  lora.method = TuningMethod::lora;
  lora.rank = 8;
  lora.targets = {"layers.3.self_attn.q_proj"};
  const double adapters = 8.0 * (64 + 64);
  const double forward = 2.0 * (4 * layer_products + head_products) + 4 * layer_attention;
  const double backward = 2.0 * (layer_products + head_products) + 2.0 * layer_attention;
  BOOST_TEST(training_flops_per_token(traits, 128, &lora) == forward + backward + 6.0 * adapters,
             boost::test_tools::tolerance(1e-12));
  StageSlice first;
  first.layer_end = 2;
  first.has_head = false;
  const PassFlops below = pass_flops_per_token(traits, first, 128, &lora);
  BOOST_TEST(below.forward > 0.0);
  BOOST_TEST(below.input == 0.0);
  BOOST_TEST(below.weight == 0.0);
}

BOOST_AUTO_TEST_CASE(virtual_tokens_need_the_whole_way_back_and_no_weights) {
  const ModelTraits traits = tuned_traits();
  for (const TuningMethod method :
       {TuningMethod::prompt, TuningMethod::prefix, TuningMethod::ia3}) {
    Tuning tuning;
    tuning.method = method;
    const double wanted = 4.0 * (4 * layer_products + head_products) + 3.0 * 4 * layer_attention;
    BOOST_TEST(training_flops_per_token(traits, 128, &tuning) == wanted,
               boost::test_tools::tolerance(1e-12));
  }
}

BOOST_AUTO_TEST_CASE(stages_and_passes_add_up_to_the_whole_model) {
  const ModelTraits traits = tuned_traits();
  StageSlice first, second;
  first.layer_end = second.layer_begin = 1;
  second.layer_end = 4;
  first.has_head = second.has_embedding = false;
  double sum = 0.0;
  for (const StageSlice& slice : {first, second}) {
    const PassFlops flops = pass_flops_per_token(traits, slice, 128, nullptr);
    sum += flops.forward + flops.input + flops.weight;
  }
  BOOST_TEST(sum == training_flops_per_token(traits, 128), boost::test_tools::tolerance(1e-12));
}
