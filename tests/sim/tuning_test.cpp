// Tuning methods on every kind of grid: what is trained ends as one actor would have trained it, to
// the last bit over stages, schedules and recomputation, closely over shards and replicas.
#define BOOST_TEST_MODULE tuning
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "models/hf_model.hpp"
#include "models/peft/tuning.hpp"
#include "tests/sim/tiny_grid.hpp"

using namespace collie;
using namespace collie::testing;
namespace data = boost::unit_test::data;

namespace {

constexpr int steps = 5;

struct Case {
  std::string name;
  std::string family = "llama";
  bool tied = false;
  Tuning tuning = {};
  double dropout = 0.0;  // of the model
};
std::ostream& operator<<(std::ostream& out, const Case& of) {
  return out << of.name;
}

Tuning of_method(TuningMethod method) {
  Tuning tuning;
  tuning.method = method;
  tuning.virtual_tokens = 2;
  tuning.bottleneck = 6;
  return tuning;
}

std::vector<Case> make_cases() {
  Tuning lora;
  lora.method = TuningMethod::lora;
  lora.rank = 3;
  lora.targets = {"all-linear"};
  Tuning dropped = lora;
  dropped.dropout = 0.3;
  dropped.seed = 5;
  dropped.rslora = true;
  dropped.targets = {"q_proj", "down_proj"};
  dropped.modules_to_save = {"norm", "lm_head"};
  Tuning biased = lora;
  biased.biases = TunedBiases::all;
  biased.targets = {"v_proj", "o_proj"};
  Tuning fused = lora;
  fused.targets = {};  // c_attn: q, k and v are one
  Tuning dora = lora;
  dora.dora = true;
  Tuning dora_dropped = dora;
  dora_dropped.dropout = 0.3;
  Tuning ends = lora;
  ends.targets = {"embed_tokens", "lm_head", "v_proj"};
  ends.dropout = 0.2;
  Tuning tied_ends = lora;
  tied_ends.targets = {"wte", "lm_head", "mlp.c_proj"};
  Tuning patterns = lora;
  patterns.layers = {1, 2};
  patterns.rank_pattern = {{"k_proj", 2}, {"layers.2.self_attn.q_proj", 5}};
  patterns.alpha_pattern = {{"down_proj", 3.0}};
  patterns.exclude_modules = {"up_proj"};
  patterns.start = LoraStart::gaussian;
  Tuning p_tuning = of_method(TuningMethod::p_tuning);
  p_tuning.projection_size = 12;
  return {{"lora", "llama", false, lora},
          {"lora_dropout_saved", "llama", false, dropped},
          {"lora_bias_tied", "qwen2", true, biased},
          {"lora_fused", "gpt2", true, fused},
          {"dora", "llama", false, dora},
          {"dora_dropout", "llama", false, dora_dropped},
          {"lora_ends", "llama", false, ends, 0.1},
          {"lora_ends_tied", "gpt2", true, tied_ends, 0.2},
          {"lora_patterns", "qwen3", false, patterns},
          {"ia3", "qwen2", false, of_method(TuningMethod::ia3)},
          {"prefix", "llama", true, of_method(TuningMethod::prefix)},
          {"prompt", "llama", false, of_method(TuningMethod::prompt)},
          {"p_tuning", "gpt2", true, p_tuning},
          {"houlsby", "qwen3", false, of_method(TuningMethod::houlsby)}};
}
const std::vector<Case> cases = make_cases();

struct Trained {
  TinyOutcome outcome;
  std::map<std::string, std::vector<float>> parameters;  // that are trained, whole
};

// The same global batch of 8 rows on every grid.
TinyRun run_of(const Case& of, const Grid& grid) {
  TinyRun run;
  run.grid = grid;
  run.micro_batches = 8 / grid.dp;
  run.family = of.family;
  run.tied = of.tied;
  run.dropout = of.dropout;
  run.tuning = std::make_shared<const Tuning>(of.tuning);
  return run;
}

Trained train_tuned(const TinyRun& run, int step_count = steps) {
  TinyGrid grid(run);
  auto world = make_simulated_world(grid.options(), grid.executors(), {.seed = 3});
  Trained trained;
  trained.outcome = train(*world, grid, step_count);
  const Executors executors = grid.executors();
  const int replica = grid.grid().pp * grid.grid().tp;
  ModelAssembler assembler;
  for (int i = 0; i < replica; ++i) {
    const Parameters& parameters = executors[static_cast<std::size_t>(i)]->parameters();
    for (int index = 0; index < parameters.count(); ++index) {
      const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
      if (spec.trainable && !parameters.is_alias(index) && spec.tied_to.empty()) {
        assembler.add(spec, parameters.value(index));
      }
    }
  }
  for (const ParameterSpec& spec : tuned_parameters(*run.tuning, grid.traits())) {
    if (!spec.tied_to.empty()) continue;
    std::vector<float> values(static_cast<std::size_t>(spec.rows * spec.cols));
    const Status whole = assembler.copy_global(spec.name, values);
    BOOST_REQUIRE_MESSAGE(whole.ok(), (whole ? std::string() : whole.error().message));
    trained.parameters[spec.name] = std::move(values);
  }
  return trained;
}

// Norm of the difference over the norm, the worst parameter's.
double worst_difference(const Trained& one, const Trained& other) {
  BOOST_TEST_REQUIRE(one.parameters.size() == other.parameters.size());
  double worst = 0.0;
  for (const auto& [name, values] : one.parameters) {
    const std::vector<float>& others = other.parameters.at(name);
    double difference = 0.0, squares = 1e-20;
    for (std::size_t i = 0; i < values.size(); ++i) {
      difference += std::pow(static_cast<double>(values[i]) - others[i], 2);
      squares += std::pow(static_cast<double>(values[i]), 2);
    }
    worst = std::max(worst, std::sqrt(difference / squares));
  }
  return worst;
}

void compare_frozen(const Parameters& before, const Parameters& after) {
  std::string changed;
  for (int index = 0; index < after.count(); ++index) {
    if (after.is_trainable(index)) continue;
    const Tensor one = before.value(index), other = after.value(index);
    const auto* values = one.data<float>();
    if (std::equal(values, values + one.element_count(), other.data<float>())) continue;
    changed += after.specs()[static_cast<std::size_t>(index)].name + " ";
  }
  BOOST_TEST(changed == "");
}

struct Order {
  std::string schedule;
  int chunks = 0;
};

}  // namespace

BOOST_DATA_TEST_CASE(grids_train_the_same, data::make(cases), of) {
  const Trained alone = train_tuned(run_of(of, {1, 1, 1}));
  BOOST_TEST(worst_difference(alone, train_tuned(run_of(of, {1, 1, 1}), 0)) > 1e-3);
  for (const int tp : {1, 2}) {
    for (const int dp : {1, 2}) {
      const Trained one_stage = train_tuned(run_of(of, {dp, tp, 1}));
      const double difference = worst_difference(alone, one_stage);
      BOOST_TEST_MESSAGE(of.name << " dp " << dp << " tp " << tp << ": " << difference);
      BOOST_TEST(difference < 2e-4);
      for (const int pp : {1, 2}) {
        for (const Recompute recompute : {Recompute::none, Recompute::full}) {
          TinyRun run = run_of(of, {dp, tp, pp});
          run.recompute = recompute;
          BOOST_TEST_CONTEXT("dp " << dp << " tp " << tp << " pp " << pp) {
            BOOST_TEST(train_tuned(run).outcome.hash == one_stage.outcome.hash);
          }
        }
      }
    }
  }
}

// Level 2 adds gradients up in another order.
BOOST_DATA_TEST_CASE(zero_trains_the_same, data::make(cases), of) {
  for (const int tp : {1, 2}) {
    for (const Recompute recompute : {Recompute::none, Recompute::full}) {
      TinyRun run = run_of(of, {2, tp, 2});
      run.recompute = recompute;
      const Trained whole = train_tuned(run);
      run.zero = 1;
      BOOST_TEST(train_tuned(run).outcome.hash == whole.outcome.hash);
      run.zero = 2;
      const Trained shared = train_tuned(run);
      BOOST_TEST(worst_difference(whole, shared) < 2e-4);
      run.zero = 3;
      BOOST_TEST(simulate(run, 1, steps).hash == shared.outcome.hash);
    }
  }
}

BOOST_DATA_TEST_CASE(schedules_train_the_same, data::make(cases), of) {
  const std::uint64_t hash = train_tuned(run_of(of, {1, 2, 1})).outcome.hash;
  for (const Order& order : {Order{"gpipe"}, Order{"interleaved", 2}, Order{"zb-h1"}, Order{"zbv"},
                             Order{"dualpipev"}}) {
    TinyRun run = run_of(of, {1, 2, 2});
    run.schedule = order.schedule;
    run.chunks = order.chunks;
    for (const bool post_validates : {false, true}) {
      run.post_validates = post_validates;
      BOOST_TEST_CONTEXT(order.schedule << " post-validation " << post_validates) {
        BOOST_TEST(train_tuned(run).outcome.hash == hash);
      }
    }
  }
}

// Also where asynchronous pipelines keep versions of the weights, or predict them.
BOOST_DATA_TEST_CASE(what_is_frozen_stays, data::make(cases), of) {
  for (const std::string schedule : {"1f1b", "pipedream", "spectrain", "nesterov"}) {
    TinyRun run = run_of(of, {1, 1, 2});
    run.schedule = schedule;
    if (schedule != "1f1b" && of.tied) continue;
    if (schedule == "nesterov") run.optimizer = "sgd";
    TinyGrid grid(run), untouched(run);
    auto world = make_simulated_world(grid.options(), grid.executors(), {.seed = 3});
    train(*world, grid, steps);
    for (std::size_t i = 0; i < grid.executors().size(); ++i) {
      BOOST_TEST_CONTEXT(schedule << " shard " << i) {
        compare_frozen(untouched.executors()[i]->parameters(), grid.executors()[i]->parameters());
      }
    }
  }
}

// ZeRO: replicas that share state, gradients or all values, frozen ones included. With one
// micro-batch a step the sums are the same to the last bit.
BOOST_DATA_TEST_CASE(replicas_may_share_what_they_hold, data::make(cases), of) {
  for (const int tp : {1, 2}) {
    TinyRun run = run_of(of, {.dp = 3, .tp = tp, .pp = 2});
    run.micro_batches = 1;
    const TinyOutcome plain = simulate(run, 1, steps);
    for (const int zero : {1, 2, 3}) {
      run.zero = zero;
      const TinyOutcome shared = simulate(run, 2, steps);
      BOOST_TEST(shared.hash == plain.hash, "tp " << tp << " level " << zero);
      BOOST_TEST(shared.norms == plain.norms, "tp " << tp << " level " << zero);
    }
  }
}
