// Adapters that PEFT wrote, loaded here: loss and every gradient of what is trained, on any grid.
#define BOOST_TEST_MODULE peft_golden
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cstring>

#include "models/peft/adapter_files.hpp"
#include "models/peft/prompt.hpp"
#include "tests/numerics/decoder_support.hpp"

using namespace collie;
using namespace collie::testing;
namespace data = boost::unit_test::data;

namespace {

// The tolerances of decoder_golden.
constexpr double loss_tolerance = 1e-6;
constexpr double gradient_tolerance = 2e-5;
constexpr std::uint64_t mask_seed = 77;  // of make_peft_goldens.py

struct Case {
  std::string folder, model;
};
std::ostream& operator<<(std::ostream& out, const Case& of) {
  return out << of.folder;
}
const std::vector<Case> cases = {{"lora_llama3", "llama3"},
                                 {"lora_llama2_saved", "llama2"},
                                 {"lora_qwen3_rs", "qwen3"},
                                 {"lora_qwen2_bias", "qwen2"},
                                 {"lora_gpt2", "gpt2"},
                                 {"dora_llama3", "llama3"},
                                 {"dora_qwen2_bias", "qwen2"},
                                 {"dora_gpt2", "gpt2"},
                                 {"ia3_qwen2", "qwen2"},
                                 {"ia3_gpt2", "gpt2"},
                                 {"ia3_llama3_all", "llama3"},
                                 {"prompt_llama2", "llama2"},
                                 {"prompt_gpt2", "gpt2"},
                                 {"p_tuning_llama3", "llama3"},
                                 {"prefix_qwen3", "qwen3"},
                                 {"prefix_gpt2", "gpt2"},
                                 {"houlsby_llama3", "llama3"},
                                 {"houlsby_gpt2", "gpt2"},
                                 {"lora_llama3_dropout", "llama3"},
                                 {"dora_llama3_dropout", "llama3"},
                                 {"dora_gpt2_dropout", "gpt2"},
                                 {"lora_llama2_ends", "llama2"},
                                 {"lora_llama2_ends_dropout", "llama2"},
                                 {"lora_qwen2_tied_ends", "qwen2"},
                                 {"lora_qwen3_patterns", "qwen3"},
                                 {"lora_gpt2_patterns", "gpt2"},
                                 {"dropout_gpt2", "gpt2"},
                                 {"dropout_llama3", "llama3"}};

struct Tuned {
  explicit Tuned(const Case& of)
      : directory(golden_directory("../peft/" + of.folder)),
        traits(must(read_model_config(golden_directory(of.model)))),
        tuning(std::make_shared<Tuning>(must(read_adapter_config(directory, traits)))),
        golden("../peft/" + of.folder, "golden.safetensors"),
        batch(of.model, "golden.safetensors") {
    tuning->seed = mask_seed;
    if (of.folder.starts_with("dropout_")) model_dropout = 0.15;
    drops = of.folder.find("dropout") != std::string::npos;
    if (!of.folder.starts_with("p_tuning")) return;
    // The files of p-tuning are read as a prompt: the net stands in the golden alone.
    Tuning with_net = *tuning;
    with_net.method = TuningMethod::p_tuning;
    with_net.projection_size = golden.tensor("parameter/prompt_encoder.mlp_head.0.bias").dim(0);
    tuning = std::make_shared<Tuning>(with_net);
  }
  double loss() const {
    return drops ? static_cast<double>(golden.floats("train_loss")[0]) : golden.loss();
  }
  GridOptions options(GridOptions made = {}) const {
    made.stage.tuning = tuning;
    made.stage.dropout = model_dropout;
    made.stage.dropout_seed = mask_seed;
    return made;
  }
  bool has_net() const { return tuning->method == TuningMethod::p_tuning; }
  std::string directory;
  ModelTraits traits;
  std::shared_ptr<Tuning> tuning;
  Golden golden, batch;
  double model_dropout = 0.0;
  bool drops = false;
};

// Norm of the difference over norm of PEFT's gradient, the worst of the file's tensors.
WorstGradient compare(const Tuned& tuned,
                      const std::map<std::string, std::vector<float>>& gradients) {
  std::map<std::string, GradientError> errors;
  for (const ParameterSpec& spec : tuned_parameters(*tuned.tuning, tuned.traits)) {
    add_error(spec, tuned.golden, gradients.at(spec.name), errors[spec.hf.tensor]);
  }
  WorstGradient worst;
  for (const auto& [name, error] : errors) {
    if (!(error.relative() <= worst.error)) worst = {error.relative(), name, 0.0};
  }
  BOOST_TEST(!errors.empty());
  return worst;
}

void load_net(const Golden& golden, Parameters& parameters, Stream& stream) {
  for (int index = 0; index < parameters.count(); ++index) {
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
    if (!spec.adapter) continue;
    const std::vector<float> values = golden.floats("parameter/" + spec.hf.tensor);
    Tensor to = parameters.value(index);
    COLLIE_CHECK(to.element_count() == static_cast<std::int64_t>(values.size()));
    std::copy(values.begin(), values.end(), to.mutable_data<float>());
  }
  parameters.refresh_compute(stream);
}

// The same rows with the tuning's virtual tokens before each.
MicroBatch batch_of(const Tuned& tuned, Stream& stream, std::int64_t row) {
  const MicroBatch plain = golden_batch(stream, tuned.batch, row, row + 1);
  const auto before = static_cast<std::size_t>(tuned.tuning->tokens_before());
  const auto with_virtual = [&](const Tensor& values, std::int32_t value) {
    std::vector<std::int32_t> all(before, value);
    const auto* data = values.data<std::int32_t>();
    all.insert(all.end(), data, data + values.element_count());
    return all;
  };
  const std::vector<std::int32_t> ids = with_virtual(plain.ids_t, virtual_token_id);
  MicroBatch batch = make_batch(stream, 1, ids, with_virtual(plain.labels_t, ignored_label),
                                plain_positions(1, static_cast<std::int64_t>(ids.size())));
  batch.loss_scale = plain.loss_scale;
  batch.first_row = row;
  return batch;
}

void fill(const Tuned& tuned, const Case& of, TestGrid& grid) {
  grid.load(golden_directory(of.model));
  grid.each([&](StageModel& model) {
    if (tuned.has_net()) return load_net(tuned.golden, model.parameters(), grid.stream());
    must_succeed(load_adapter(tuned.directory, *tuned.tuning, tuned.traits, model.parameters(),
                              grid.stream()));
  });
}

void train_and_check(const Case& of, GridOptions options) {
  const Tuned tuned(of);
  TestGrid grid(tuned.traits, tuned.options(options));
  fill(tuned, of, grid);
  const std::vector<MicroBatch> batches = {batch_of(tuned, grid.stream(), 0),
                                           batch_of(tuned, grid.stream(), 1)};
  const std::int64_t valid = batches[0].valid_tokens + batches[1].valid_tokens;
  const double loss = grid.step(batches) / static_cast<double>(valid);
  const double error = std::abs(loss - tuned.loss()) / tuned.loss();
  const WorstGradient worst = compare(tuned, grid.gradients());
  fmt::print("{:20} tp {} stages {}: loss {:.1e}, gradients {:.1e} ({})\n", of.folder, options.tp,
             options.cuts.size() + 1, error, worst.error, worst.name);
  BOOST_TEST(error <= loss_tolerance);
  BOOST_TEST(worst.error <= gradient_tolerance);
}

}  // namespace

BOOST_DATA_TEST_CASE(one_shard_matches_peft, data::make(cases), of) {
  train_and_check(of, {});
}

BOOST_DATA_TEST_CASE(tensor_shards_match_peft, data::make(cases) * data::make({2, 4}), of, tp) {
  GridOptions options;
  options.tp = tp;
  train_and_check(of, options);
}

BOOST_DATA_TEST_CASE(stages_and_recomputation_match_peft, data::make(cases), of) {
  GridOptions options;
  options.tp = 2;
  options.cuts = {1};
  options.stage.recompute = Recompute::full;
  options.fused_backward = true;
  train_and_check(of, options);
}

// Keys and values of the slices before, virtual tokens' among them, stand in a cache.
BOOST_DATA_TEST_CASE(slices_match_peft, data::make(cases), of) {
  GridOptions options;
  options.slices = 3;
  options.stage.recompute = Recompute::attention;
  train_and_check(of, options);
}

BOOST_DATA_TEST_CASE(generation_has_the_logits_of_peft, data::make(cases), of) {
  const Tuned tuned(of);
  GridOptions options;
  options.tp = 2;
  TestGrid grid(tuned.traits, tuned.options(options));
  fill(tuned, of, grid);
  const MicroBatch batch = batch_of(tuned, grid.stream(), 0);
  const auto* ids = batch.ids_t.data<std::int32_t>();
  const std::int64_t begun = batch.sequence - 4;
  std::vector<float> logits = grid.generate({ids, ids + begun}, batch.sequence);
  for (std::int64_t token = begun; token < batch.sequence; ++token) {
    logits = grid.generate({ids + token, ids + token + 1}, batch.sequence);
  }
  const std::vector<float> all = tuned.golden.floats("logits");  // of two rows
  const auto* wanted = all.data() + all.size() / 2 - logits.size();
  for (std::size_t i = 0; i < logits.size(); ++i)
    BOOST_TEST(std::abs(logits[i] - wanted[i]) < 2e-5);
}

// PEFT saves what p-tuning's net makes.
BOOST_AUTO_TEST_CASE(the_net_of_p_tuning_makes_the_embeddings_that_peft_saves) {
  const Case of = {"p_tuning_llama3", "llama3"};
  const Tuned tuned(of);
  GridOptions options;
  TestGrid grid(tuned.traits, tuned.options(options));
  fill(tuned, of, grid);
  const Golden saved("../peft/" + of.folder, "adapter_model.safetensors");
  const std::vector<float> wanted = saved.floats("prompt_embeddings");
  const Tensor made = Prompt(grid.stages()[0][0]->parameters()).embeddings(grid.stream());
  BOOST_TEST_REQUIRE(made.element_count() == static_cast<std::int64_t>(wanted.size()));
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    BOOST_TEST(std::abs(made.data<float>()[i] - wanted[i]) < 1e-6);
  }
}

// What all shards hold and no reduction sums is updated by each for itself.
BOOST_DATA_TEST_CASE(gradients_of_replicated_parameters_are_equal, data::make(cases), of) {
  const Tuned tuned(of);
  GridOptions options;
  options.tp = 2;
  TestGrid grid(tuned.traits, tuned.options(options));
  fill(tuned, of, grid);
  grid.step({batch_of(tuned, grid.stream(), 0)});
  Parameters& first = grid.stages()[0][0]->parameters();
  Parameters& second = grid.stages()[0][1]->parameters();
  for (int index = 0; index < first.count(); ++index) {
    const ParameterSpec& spec = first.specs()[static_cast<std::size_t>(index)];
    const ParameterSpec& other = second.specs()[static_cast<std::size_t>(index)];
    const bool is_same_part =
        spec.row_begin == other.row_begin && spec.col_begin == other.col_begin;
    if (!spec.trainable || !is_same_part || spec.gradient_group_end > 0) continue;
    const Tensor one = first.gradient(index), two = second.gradient(index);
    BOOST_TEST(std::memcmp(one.raw(), two.raw(), one.size_bytes()) == 0, spec.name);
  }
}

BOOST_DATA_TEST_CASE(frozen_parameters_have_no_gradients, data::make(cases), of) {
  const Tuned tuned(of);
  GridOptions options;
  TestGrid grid(tuned.traits, tuned.options(options));
  Parameters& parameters = grid.stages()[0][0]->parameters();
  std::int64_t trained = 0;
  for (int index = 0; index < parameters.count(); ++index) {
    if (parameters.is_trainable(index)) trained += parameters.value(index).element_count();
  }
  // Joined biases of which one is trained have gradients together; the rest is padding.
  BOOST_TEST(parameters.trainable_elements() <= trained + 16 * parameters.count());
  BOOST_TEST(parameters.gradients().element_count() == parameters.trainable_elements());
  BOOST_TEST(trained < parameters.values().element_count() / 3);
}
