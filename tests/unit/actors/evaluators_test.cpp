// What evaluators say of a model, against transformers, on every kind of grid.
#define BOOST_TEST_MODULE evaluators
#include "actors/evaluator.hpp"

#include <boost/test/unit_test.hpp>
#include <fstream>

#include "actors/run_setup.hpp"
#include "actors/trainer.hpp"
#include "models/dataset/evaluation_set.hpp"
#include "models/dataset/text_encoder.hpp"
#include "tests/unit/actors/tiny_trainer.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

const std::string goldens = std::string(COLLIE_TESTS_DIR) + "/goldens/";

struct NamedGrid {
  std::string name;
  std::vector<std::string> overrides;
};

// None of them divides the number of samples or of options.
const std::vector<NamedGrid> all_grids{
    {"one", {"train.accumulation=1"}},
    {"three rows", {"train.micro_batch_size=3", "train.accumulation=2"}},
    {"pipeline", {"grid.pp=3", "train.accumulation=3"}},
    {"tensor", {"grid.tp=2", "train.accumulation=1"}},
    {"replicas", {"grid.dp=2", "train.accumulation=3", "train.micro_batch_size=2"}},
    {"both directions", {"grid.pp=2", "grid.schedule=dualpipe", "train.accumulation=4"}},
    {"slices", {"grid.pp=2", "grid.schedule=seq1f1b", "grid.slices=2", "train.accumulation=2"}},
    {"no barrier", {"grid.pp=3", "grid.schedule=pipedream", "train.accumulation=3"}},
    {"all", {"grid.dp=2", "grid.tp=2", "grid.pp=2", "train.accumulation=2"}}};

Result<RunConfig> parse_golden(const Json& evaluators, std::vector<std::string> overrides) {
  const Json document = {
      {"model",
       {{"path", goldens + "models/llama3"}, {"tokenizer", goldens + "evaluation/tokenizer.json"}}},
      {"data", {{"sequence_length", 48}}},
      {"eval", {{"evaluators", evaluators}}}};
  overrides.push_back("checkpoint.resume=never");
  return parse_config(dump_json(document), "test", overrides);
}

RunConfig golden_config(const Json& evaluators, std::vector<std::string> overrides) {
  Result<RunConfig> config = parse_golden(evaluators, std::move(overrides));
  BOOST_REQUIRE_MESSAGE(config.ok(), test::message_of(config));
  return std::move(config).value();
}

Result<std::vector<EvaluationEvent>> evaluate(const RunConfig& config, EvaluatorList own = {}) {
  TrainerOptions options;
  options.only_evaluates = true;
  options.evaluators = std::move(own);
  COLLIE_TRY(Trainer trainer, Trainer::create(config, options));
  return trainer.evaluate_all();
}

std::vector<EvaluationEvent> evaluated(const RunConfig& config, EvaluatorList own = {}) {
  auto events = evaluate(config, std::move(own));
  BOOST_REQUIRE_MESSAGE(events.ok(), test::message_of(events));
  return std::move(events).value();
}

double value_of(const EvaluationEvent& event, std::string_view name) {
  const MetricValue* value = event.find(name);
  BOOST_REQUIRE_MESSAGE(value != nullptr, name);
  return value->value;
}

Json classification(const std::string& name = "choices") {
  return {{"name", name},
          {"type", "classification"},
          {"data", goldens + "evaluation/choices.jsonl"},
          {"metrics", {"accuracy", "classification"}}};
}

Json golden_expected() {
  auto expected = read_json(goldens + "evaluation/expected.json");
  BOOST_REQUIRE_MESSAGE(expected.ok(), test::message_of(expected));
  return std::move(expected).value();
}

// Keeps the loss of every option of the golden samples.
class Likelihoods final : public Evaluator {
 public:
  std::string name() const override { return "likelihoods"; }
  Result<std::optional<EvaluationEvent>> evaluate(EvaluationHost& host) override {
    DataSection data = host.setup().config.data;
    const auto encoder = make_text_encoder(*host.setup().tokenizer);
    COLLIE_TRY(const ClassificationSet set,
               read_classification_set({goldens + "evaluation/choices.jsonl"}, data, *encoder,
                                       EvaluationSetOptions{}));
    std::vector<ScoredRow> rows;
    for (const ClassificationSample& sample : set.samples) {
      for (const auto& option : sample.options) {
        ScoredRow& row = rows.emplace_back(ScoredRow{sample.context, sample.context.size()});
        row.ids.insert(row.ids.end(), option.begin(), option.end());
      }
    }
    COLLIE_TRY(const auto found, host.losses_of(rows));
    losses = *found;
    EvaluationEvent event;
    event.name = name();
    return std::optional(event);
  }
  std::vector<double> losses;
};

}  // namespace

BOOST_AUTO_TEST_CASE(likelihoods_of_options_equal_those_of_transformers_on_every_grid) {
  const Json expected = golden_expected();
  std::vector<double> wanted;
  for (const Json& sample : expected.at("log_likelihoods")) {
    for (const Json& option : sample) wanted.push_back(-option.get<double>());
  }
  for (const NamedGrid& grid : all_grids) {
    BOOST_TEST_CONTEXT(grid.name) {
      const auto own = std::make_shared<Likelihoods>();
      evaluated(golden_config(Json::array({classification()}), grid.overrides), {own});
      BOOST_REQUIRE_EQUAL(own->losses.size(), wanted.size());
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        BOOST_CHECK_SMALL(own->losses[i] / wanted[i] - 1.0, 1e-5);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(every_sample_counts_once_whatever_the_replicas) {
  const Json expected = golden_expected();
  for (const NamedGrid& grid : all_grids) {
    BOOST_TEST_CONTEXT(grid.name) {
      const auto events = evaluated(
          golden_config(Json::array({classification(), classification("again")}), grid.overrides));
      BOOST_REQUIRE_EQUAL(events.size(), 2U);
      BOOST_CHECK_EQUAL(events[0].samples, 11);
      BOOST_CHECK_EQUAL(value_of(events[0], "choices#total"), 11.0);
      BOOST_CHECK_EQUAL(value_of(events[0], "choices#acc"), expected.at("acc").get<double>());
      BOOST_CHECK_EQUAL(value_of(events[0], "choices#acc_norm"),
                        expected.at("acc_norm").get<double>());
      BOOST_CHECK_EQUAL(value_of(events[1], "again#acc"), expected.at("acc").get<double>());
      BOOST_CHECK(events[0].find("choices#f_beta") != nullptr);
    }
  }
}

BOOST_AUTO_TEST_CASE(texts_written_on_every_grid_are_those_of_transformers) {
  const Json expected = golden_expected();
  test::TemporaryDirectory folder;
  const Json entry = {{"type", "generation"},
                      {"data", goldens + "evaluation/prompts.jsonl"},
                      {"max_new_tokens", expected.at("new_tokens")},
                      {"metrics", {"exact_match", "bleu", "rouge", "decode"}}};
  for (const NamedGrid& grid : all_grids) {
    BOOST_TEST_CONTEXT(grid.name) {
      std::vector<std::string> overrides = grid.overrides;
      overrides.push_back("output.directory=" + folder.file("run"));
      const auto events = evaluated(golden_config(Json::array({entry}), overrides));
      BOOST_CHECK_EQUAL(value_of(events[0], "generation#exact_match"), 3.0 / 5.0);
      std::ifstream file(folder.file("run/evaluations/generation/decode.jsonl"));
      std::vector<std::string> written;
      for (std::string line; std::getline(file, line);) {
        written.push_back(parse_json(line, "decode").value().at("prediction").get<std::string>());
      }
      BOOST_CHECK(written == expected.at("written").get<std::vector<std::string>>());
    }
  }
}

BOOST_AUTO_TEST_CASE(helm_style_compares_what_is_written_with_all_options) {
  test::TemporaryDirectory folder;
  const std::string first = golden_expected().at("written")[0];
  BOOST_REQUIRE_GE(first.size(), 2U);
  std::ifstream file(goldens + "evaluation/prompts.jsonl");
  std::string line;
  std::getline(file, line);
  const Json prompt = parse_json(line, "prompts").value().at("text");
  // The gold option is a beginning of the text; another, longer one is what it says.
  const Json wrong = {{"input", prompt}, {"output", {first.substr(0, 1), first}}, {"target", 0}};
  const Json right = {{"input", prompt}, {"output", {" " + first, "zzz"}}, {"target", 0}};
  const Json none = {{"input", prompt}, {"output", {"zzz", "yyy"}}, {"target", 0}};
  const std::string data =
      folder.put("data.jsonl", dump_json(wrong, 0) + "\n" + dump_json(right, 0) + "\n" +
                                   dump_json(none, 0) + "\n");
  const Json entry = {{"type", "classification"}, {"style", "helm"}, {"data", data}};
  const auto events = evaluated(golden_config(Json::array({entry}), {}));
  BOOST_CHECK_EQUAL(value_of(events[0], "classification#acc"), 1.0 / 3.0);
  BOOST_CHECK_EQUAL(value_of(events[0], "classification#total"), 3.0);
}

BOOST_AUTO_TEST_CASE(perplexity_of_several_sets_is_exact_per_token) {
  TinyTrainer tiny;
  test::TemporaryDirectory folder;
  const std::string other = folder.put("other.txt", "the cat\nsees the ships and the letter\n");
  Json entry = {{"name", "other"}, {"type", "perplexity"}, {"data", other}};
  const std::string list = "eval.evaluators=" + dump_json(Json::array({entry}), 0);
  std::vector<double> losses;
  for (const char* grid : {"grid.pp=1", "grid.pp=2", "grid.dp=2"}) {
    const auto events = evaluated(
        tiny.config("run", {"data.validation=" + other, list, grid, "train.accumulation=3"}));
    BOOST_REQUIRE_EQUAL(events.size(), 2U);
    BOOST_CHECK_EQUAL(events[0].loss, events[1].loss);
    BOOST_CHECK_EQUAL(value_of(events[1], "other#perplexity"), std::exp(events[1].loss));
    BOOST_CHECK_EQUAL(value_of(events[0], "validation#loss"), events[0].loss);
    losses.push_back(events[1].loss);
  }
  BOOST_CHECK_EQUAL(losses[0], losses[1]);
  BOOST_CHECK_SMALL(losses[0] / losses[2] - 1.0, 1e-12);
}

// Some faults are found in the configuration, others when the evaluators are made.
Result<std::vector<EvaluationEvent>> evaluate_any(const Json& evaluators) {
  COLLIE_TRY(const RunConfig config, parse_golden(evaluators, {}));
  return evaluate(config);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_evaluated_is_refused_in_one_line) {
  test::TemporaryDirectory folder;
  const std::string empty = folder.put("empty.jsonl", "");
  const auto refused = [&](const Json& change, ErrorCode code, const std::string& message) {
    Json entry = classification();
    entry.update(change);
    test::check_error(evaluate_any(Json::array({entry})), code, message);
  };
  const auto bad = ErrorCode::invalid_config;
  refused({{"type", "clasification"}}, bad, "eval.evaluators[0].type");
  refused({{"type", "clasification"}}, bad, "did you mean 'classification'?");
  refused({{"metrics", {"acuracy"}}}, bad, "did you mean 'accuracy'?");
  refused({{"metrics", {"bleu"}}}, bad, "bleu cannot be measured here");
  refused({{"metrics", Json::array()}}, bad, "an empty list");
  refused({{"metrics", {"accuracy", "accuracy"}}}, bad, "twice");
  refused({{"evry_steps", 3}}, bad, "every_steps");
  refused({{"data", Json::array()}}, bad, "an empty list");
  refused({{"name", "../a"}}, bad, "name");
  refused({{"name", "a#b"}}, bad, "name");
  refused({{"data", empty}}, ErrorCode::invalid_data, "no sample to evaluate with");
  refused({{"data", folder.file("none.jsonl")}}, ErrorCode::not_found, "none.jsonl");
  test::check_error(evaluate_any(Json::array({classification(), classification()})), bad,
                    "another evaluator named choices");
  const std::string bare = folder.put("bare.jsonl", "{\"text\": \"abc\"}\n");
  const Json generation = {{"type", "generation"}, {"data", bare}, {"max_new_tokens", 4}};
  test::check_error(evaluate_any(Json::array({generation})), ErrorCode::invalid_data,
                    "to compare with");
}
