// Tuned runs: what they save, how they go on, what they refuse.
#define BOOST_TEST_MODULE tuning
#include <boost/test/unit_test.hpp>
#include <filesystem>

#include "actors/training_grid.hpp"
#include "models/hf_model.hpp"
#include "models/peft/adapter_files.hpp"
#include "models/registry.hpp"
#include "runtime/checkpoint_files.hpp"
#include "tests/unit/actors/tiny_trainer.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

const std::vector<std::string> lora = {"tuning.method=lora", "tuning.rank=2", "tuning.dropout=0.1",
                                       "tuning.targets=[\"q_proj\", \"v_proj\", \"down_proj\"]"};

std::vector<std::string> with(std::vector<std::string> overrides,
                              const std::vector<std::string>& more) {
  overrides.insert(overrides.end(), more.begin(), more.end());
  return overrides;
}

TrainingReport report_of(Result<TrainingReport> result) {
  BOOST_REQUIRE_MESSAGE(result.ok(), test::message_of(result));
  return std::move(result).value();
}

std::unique_ptr<TrainingGrid> grid_of(const RunConfig& config, RunKind kind) {
  auto grid = TrainingGrid::create(config, kind, nullptr);
  BOOST_REQUIRE_MESSAGE(grid.ok(), test::message_of(grid));
  return std::move(grid).value();
}

std::string refusal(const RunConfig& config) {
  const auto grid = TrainingGrid::create(config, RunKind::train, nullptr);
  BOOST_REQUIRE(!grid.ok());
  BOOST_TEST(grid.error().message.find('\n') == std::string::npos);
  return grid.error().message;
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// The overrides that stand an adapter of run `base` beside its own base.
std::vector<std::string> beside(const std::string& directory) {
  return {"model.fresh=null", "model.tokenizer_vocab_size=0", "model.path=" + directory + "/base"};
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_stopped_run_ends_like_one_that_was_not_and_its_checkpoint_is_small) {
  TinyTrainer tiny;
  const TrainingReport whole = report_of(tiny.train("whole", lora));
  const TrainingReport stopped = report_of(tiny.train("run", lora, 5));
  BOOST_TEST(stopped.stopped_early);
  const Checkpoint checkpoint =
      Checkpoint::open(checkpoint_directory(tiny.directory("run"), 5)).value();
  const TensorDirectory tensors = checkpoint.open_tensors("parameters").value();
  BOOST_TEST(tensors.tensor_count() == 4U * 3 * 2);  // A and B of three layers in each of four
  for (const std::string& name : tensors.names()) BOOST_TEST(contains(name, ".lora_"));
  const TrainingReport resumed = report_of(tiny.train("run", lora));
  BOOST_TEST(resumed.parameter_hash == whole.parameter_hash);
  BOOST_TEST(resumed.final_loss == whole.final_loss);
}

BOOST_AUTO_TEST_CASE(a_checkpoint_goes_on_beside_its_own_base_alone) {
  TinyTrainer tiny;
  report_of(tiny.train("run", lora, 5));
  BOOST_TEST(contains(refusal(tiny.config("run", with(lora, {"train.seed=9"}))), "model.fresh"));
  BOOST_TEST(contains(refusal(tiny.config("run", with(lora, {"tuning.rank=3"}))), "has r 2"));
  BOOST_TEST(contains(refusal(tiny.config("run")), "holds an adapter alone"));
  report_of(tiny.train("full", {}, 5));
  BOOST_TEST(contains(refusal(tiny.config("full", lora)), "holds a whole model"));
  report_of(tiny.train("full"));  // and a full one goes on as ever
}

BOOST_AUTO_TEST_CASE(the_adapter_and_its_base_are_the_trained_model) {
  TinyTrainer tiny;
  const TrainingReport trained =
      report_of(tiny.train("run", with(lora, {"data.validation_fraction=0.1"})));
  BOOST_TEST(trained.model_directory == tiny.directory("run") + "/adapter");
  BOOST_TEST(!std::filesystem::exists(tiny.directory("run") + "/model"));
  const std::vector<std::string> again =
      with(beside(tiny.directory("run")),
           {"tuning.adapter=" + trained.model_directory, "data.validation_fraction=0.1"});
  for (const char* grid : {"grid.pp=2", "grid.pp=1", "grid.tp=2"}) {
    TrainerOptions options;
    options.only_evaluates = true;
    auto trainer = Trainer::create(tiny.config("again", with(again, {grid})), options);
    BOOST_REQUIRE_MESSAGE(trainer.ok(), test::message_of(trainer));
    const EvaluationEvent evaluation = trainer->evaluate().value();
    BOOST_CHECK_SMALL(evaluation.loss / trained.validation_loss - 1.0, 1e-5);
  }
  // It goes on from there, and what contradicts it is refused.
  report_of(tiny.train("further", again));
  BOOST_TEST(contains(refusal(tiny.config("other", with(again, {"tuning.rank=3"}))),
                      "tuning.rank: 3 contradicts"));
  BOOST_TEST(contains(refusal(tiny.config("other", with(again, {"tuning.method=ia3"}))),
                      "tuning.method: ia3 contradicts"));
}

BOOST_AUTO_TEST_CASE(merging_is_the_adapter_and_unmerging_restores_every_bit) {
  TinyTrainer tiny;
  const TrainingReport trained = report_of(
      tiny.train("run", with(lora, {"tuning.save_merged=true", "data.validation_fraction=0.1"})));
  const std::string run = tiny.directory("run");
  TrainerOptions options;
  options.only_evaluates = true;
  auto merged = Trainer::create(
      tiny.config("merged", {"model.fresh=null", "model.tokenizer_vocab_size=0",
                             "model.path=" + run + "/model", "data.validation_fraction=0.1"}),
      options);
  BOOST_REQUIRE_MESSAGE(merged.ok(), test::message_of(merged));
  BOOST_CHECK_SMALL(merged->evaluate()->loss / trained.validation_loss - 1.0, 1e-5);

  for (const std::vector<std::string>& start :
       {with(beside(run), {"tuning.adapter=" + run + "/adapter"}), lora}) {
    for (const char* shape : {"grid.pp=2", "grid.tp=2"}) {
      const auto grid = grid_of(tiny.config("x", with(start, {shape})), RunKind::train);
      const std::uint64_t before = grid->parameter_hash();
      BOOST_REQUIRE(grid->merge_adapter().ok());
      if (start != lora) BOOST_TEST(grid->parameter_hash() != before);  // a new B is zero
      BOOST_REQUIRE(grid->unmerge_adapter().ok());
      BOOST_TEST(grid->parameter_hash() == before);
    }
  }
}

// A bfloat16 run keeps the frozen weights rounded, but what it writes is made of the base itself.
BOOST_AUTO_TEST_CASE(what_a_bfloat16_run_writes_is_made_of_the_base_in_float32) {
  TinyTrainer tiny;
  const std::vector<std::string> written = {"output.save_dtype=float32", "tuning.alpha=4",
                                            "tuning.save_merged=true"};
  report_of(tiny.train("narrow", with(with(lora, written), {"model.dtype=bfloat16"})));
  report_of(tiny.train("wide", with(lora, written)));
  const auto values = [&](const char* run, const char* part, const char* name) {
    const auto files = TensorDirectory::open(tiny.directory(run) + part).value();
    const Tensor tensor = files.tensor(std::string("model.layers.0.self_attn.") + name).value();
    const float* begin = tensor.data<float>();
    return std::vector<float>(begin, begin + tensor.element_count());
  };
  const std::vector<float> frozen = values("wide", "/base", "k_proj.weight");
  BOOST_TEST(std::ranges::any_of(frozen, [](float v) { return float(BFloat16(v)) != v; }));
  for (const char* part : {"/base", "/model"}) {
    BOOST_CHECK(values("narrow", part, "k_proj.weight") == frozen);
  }
  const std::vector<float> base = values("narrow", "/base", "q_proj.weight");
  BOOST_CHECK(base == values("wide", "/base", "q_proj.weight"));
  const std::vector<float> merged = values("narrow", "/model", "q_proj.weight");
  const auto files =
      TensorDirectory::open(tiny.directory("narrow") + "/adapter", "adapter_model").value();
  const std::string stem = "base_model.model.model.layers.0.self_attn.q_proj.lora_";
  const Tensor a_rk = files.tensor(stem + "A.weight").value();
  const Tensor b_mr = files.tensor(stem + "B.weight").value();
  const std::int64_t cols = a_rk.dim(1);
  double change = 0.0;
  for (std::size_t i = 0; i < merged.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i) / cols, col = static_cast<std::int64_t>(i) % cols;
    double sum = 0.0;
    for (std::int64_t r = 0; r < 2; ++r) {
      sum += double{b_mr.data<float>()[row * 2 + r]} * double{a_rk.data<float>()[r * cols + col]};
    }
    BOOST_REQUIRE_SMALL(double{merged[i]} - (double{base[i]} + 2.0 * sum), 1e-7);
    change += std::abs(sum);
  }
  BOOST_TEST(change > 0.0);
}

BOOST_AUTO_TEST_CASE(keys_that_cannot_be_are_refused_before_anything_is_made) {
  TinyTrainer tiny;
  const auto said = [&](const std::vector<std::string>& overrides) {
    return refusal(tiny.config("x", overrides));
  };
  const std::string unknown = said({"tuning.method=lora", "tuning.targets=[\"q_prj\"]"});
  BOOST_TEST(contains(unknown, "known: q_proj, k_proj, v_proj, o_proj, gate_proj"));
  BOOST_TEST(contains(unknown, "did you mean 'q_proj'"));
  BOOST_TEST(contains(said({"tuning.method=lora", "tuning.rank=33"}), "tuning.rank: 33"));
  BOOST_TEST(contains(said({"tuning.rank=4"}), "tuning.rank: is not of method full"));
  BOOST_TEST(contains(said({"tuning.method=ia3", "tuning.alpha=4"}), "tuning.alpha"));
  BOOST_TEST(contains(said({"tuning.method=prompt", "tuning.save_merged=true"}),
                      "tuning.save_merged: prompt tuning cannot be merged"));
  BOOST_TEST(contains(said({"tuning.method=lora", "tuning.layers=3-1"}),
                      "tuning.layers: '3-1' is neither a number nor a range as 4-7"));
  BOOST_TEST(contains(said({"tuning.method=lora", "tuning.layers=[\"0\", \"1-9\"]"}),
                      "tuning.layers: 4 must be from 0 to 3"));
  BOOST_TEST(contains(said({"tuning.method=lora", "tuning.rank_pattern={\"q_proj\": 0.5}"}),
                      "tuning.rank_pattern.q_proj: must be an integer from 1"));
  BOOST_TEST(contains(said({"tuning.method=ia3", "tuning.init=gaussian"}), "tuning.init"));
  BOOST_TEST(contains(said({"model.resize_vocabulary=999"}), "set vocab_size in model.fresh"));
  BOOST_TEST(contains(said({"tuning.adapter=nowhere"}), "nowhere"));
  const std::string golden = std::string(COLLIE_TESTS_DIR) + "/goldens/peft/lora_gpt2";
  BOOST_TEST(contains(said({"tuning.adapter=" + golden}), "is not of this model"));
}

// Layers, ranks and alphas of one's own, the embedding and the head: saved and read back; a model
// with dropout resumes where it stood.
BOOST_AUTO_TEST_CASE(patterns_ends_and_dropout_are_saved_and_resumed) {
  TinyTrainer tiny;
  const std::vector<std::string> patterns = {
      "tuning.method=lora",
      "tuning.rank=2",
      "tuning.dropout=0.1",
      "tuning.targets=[\"q_proj\", \"down_proj\"]",
      "tuning.layers=[\"0\", \"2-3\"]",
      "tuning.rank_pattern={\"down_proj\": 3}",
      "tuning.alpha_pattern={\"layers.2.self_attn.q_proj\": 1.5}",
      "tuning.init=gaussian",
      "model.dropout=0.2"};
  const TrainingReport whole = report_of(tiny.train("whole", patterns));
  BOOST_TEST(report_of(tiny.train("run", patterns, 5)).stopped_early);
  BOOST_TEST(report_of(tiny.train("run", patterns)).parameter_hash == whole.parameter_hash);
  BOOST_TEST(report_of(tiny.train("dry", with(patterns, {"model.dropout=0"}))).parameter_hash !=
             whole.parameter_hash);
  const auto again = grid_of(
      tiny.config("again",
                  with(beside(tiny.directory("run")), {"tuning.adapter=" + whole.model_directory})),
      RunKind::train);
  BOOST_TEST(again->parameter_hash() == whole.parameter_hash);

  const TrainingReport ends =
      report_of(tiny.train("ends", {"tuning.method=lora", "tuning.rank=2",
                                    "tuning.targets=[\"embed_tokens\", \"lm_head\"]"}));
  const auto read =
      grid_of(tiny.config("read", with(beside(tiny.directory("ends")),
                                       {"tuning.adapter=" + ends.model_directory, "grid.pp=2"})),
              RunKind::train);
  BOOST_TEST(read->parameter_hash() == ends.parameter_hash);
}

// New rows are trained with the adapter, and what is saved stands beside the resized model.
BOOST_AUTO_TEST_CASE(a_resized_vocabulary_is_saved_as_the_base_of_its_adapter) {
  TinyTrainer tiny;
  report_of(tiny.train("first", {}, 1));
  const TrainingReport first = report_of(tiny.train("first"));
  const std::string model = "model.path=" + first.model_directory;
  const std::vector<std::string> start = {"model.fresh=null", "model.tokenizer_vocab_size=0",
                                          model};
  const std::int64_t rows = read_model_config(first.model_directory)->vocabulary_size + 3;
  const std::string resize = "model.resize_vocabulary=" + std::to_string(rows);
  const TrainingReport whole = report_of(tiny.train("resized", with(start, {resize})));
  BOOST_TEST(read_model_config(whole.model_directory)->vocabulary_size == rows);
  const TrainingReport tuned = report_of(tiny.train("tuned", with(with(start, lora), {resize})));
  BOOST_TEST(read_model_config(tiny.directory("tuned") + "/base")->vocabulary_size == rows);
  const auto again =
      grid_of(tiny.config("again", with(beside(tiny.directory("tuned")),
                                        {"tuning.adapter=" + tuned.model_directory})),
              RunKind::train);
  BOOST_TEST(again->parameter_hash() == tuned.parameter_hash);
}
