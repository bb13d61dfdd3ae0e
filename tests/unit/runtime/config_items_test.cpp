// Lists of objects in a configuration, and keys that mean nothing beside what else was chosen.
#define BOOST_TEST_MODULE config_items
#include <boost/test/unit_test.hpp>

#include "runtime/config.hpp"

namespace collie {
namespace {

constexpr std::string_view minimal = R"({"model": {"path": "m"}, "data": {"train": ["a.txt"]}})";
using Overrides = std::vector<std::string>;

std::string why(const Result<RunConfig>& config) {
  return config.ok() ? "no error" : config.error().message;
}

std::string error_with(const Overrides& overrides) {
  return why(parse_config(minimal, "c.json", overrides));
}

std::vector<std::string> warnings_with(const Overrides& overrides) {
  const auto config = parse_config(minimal, "c.json", overrides);
  BOOST_REQUIRE_MESSAGE(config.ok(), why(config));
  return config_warnings(*config);
}

void expect_error(const Overrides& overrides, std::string_view part) {
  const std::string message = error_with(overrides);
  BOOST_TEST(message.find(part) != std::string::npos, overrides.back() << ": " << message);
  BOOST_TEST(message.find('\n') == std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_error_in_a_list_names_the_element) {
  expect_error({R"(data.train=["a", "b", {"path": ""}])"}, "c.json: data.train[2].path: expected");
  expect_error({R"(data.train=["a", {"weight": 1}])"}, "data.train[1]: has no path");
  expect_error({R"(data.train=[{"path": "a", "weight": 0}])"}, "data.train[0].weight: expected a");
  expect_error({R"(data.train=[{"path": "a", "wieght": 2}])"},
               "data.train[0]: unknown key 'wieght'; did you mean 'weight'?");
  expect_error({R"(data.train={"path": 1})"}, "data.train.path: expected a string, got 1");
  expect_error({R"(data.validation=["a", ""])"}, "data.validation[1]: expected a string that is");
  expect_error({R"(eval.evaluators=[{"type": "perplexity", "data": "a"}, {"type": "perplexty"}])"},
               "eval.evaluators[1].type: expected one of perplexity, classification, generation, "
               "got \"perplexty\"; did you mean 'perplexity'?");
  expect_error(
      {R"(eval.evaluators=[{"type": "generation", "data": "a", "metrics": ["bleu", "belu"]}])"},
      "eval.evaluators[0].metrics[1]: expected one of");
  expect_error({R"(eval.evaluators=[{"type": "generation", "data": "a", "metrics": [{}]}])"},
               "eval.evaluators[0].metrics[0]: has no name");
  expect_error({R"(eval.evaluators=[{"type": "generation", "data": "a", "metric": "bleu"}])"},
               "eval.evaluators[0]: unknown key 'metric'; did you mean 'metrics'?");
  expect_error({R"(eval.evaluators=[{"type": "generation"}])"}, "eval.evaluators[0]: has no data");
}

BOOST_AUTO_TEST_CASE(what_a_list_holds_arrives) {
  const auto config =
      parse_config(minimal, "c.json",
                   {R"(data.train=["a", {"path": "b", "weight": 2, "name": null}])",
                    R"(eval.evaluators=[{"type": "generation", "data": ["x"], "metrics":
           [{"name": "bleu", "max_order": 2}], "max_samples": 3}])"});
  BOOST_REQUIRE_MESSAGE(config.ok(), why(config));
  BOOST_REQUIRE(config->data.train.size() == 2U);
  BOOST_TEST((config->data.train[1] == [] {
    DataSource source("b");
    source.weight = 2.0;
    return source;
  }()));
  BOOST_TEST(config->eval.evaluators.at(0).at("metrics").at(0).at("max_order") == 2);
  BOOST_TEST(dump_json(to_json(*config)).find("max_samples") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_schema_tells_what_an_item_is) {
  const Json schema = config_schema();
  const Json& evaluators = schema["properties"]["eval"]["properties"]["evaluators"];
  const Json& item = evaluators.at("items");
  BOOST_TEST(item.at("additionalProperties") == false);
  BOOST_TEST(item.at("required") == Json::array({"type", "data"}));
  BOOST_TEST(item["properties"]["type"]["enum"].size() == 3U);
  BOOST_TEST(item["properties"]["metrics"].contains("anyOf"));
  BOOST_TEST(!item["properties"]["max_new_tokens"].contains("default"));
  const Json& sources = schema["properties"]["data"]["properties"]["train"];
  BOOST_TEST(sources.at("anyOf").at(1).at("properties").at("weight").at("exclusiveMinimum") == 0);
  const Json& groups =
      schema["properties"]["train"]["properties"]["optimizer"]["properties"]["groups"];
  BOOST_TEST(groups["items"]["properties"]["lr_scale"]["default"] == 1);
}

BOOST_AUTO_TEST_CASE(keys_that_the_optimizer_does_not_read_are_refused) {
  const auto with = [](std::string_view name, std::string_view key) {
    return Overrides{fmt::format("train.optimizer.name={}", name),
                     fmt::format("train.optimizer.{}", key)};
  };
  expect_error(
      with("sgd", "clip_value=1"),
      "train.optimizer.clip_value: means nothing to sgd: leave it out; it is read by lomo, "
      "adalomo");
  for (const auto& [name, key] : {std::pair{"adamw", "clip_value=1"},
                                  {"sgd", "beta2=0.9"},
                                  {"lion", "epsilon=1e-6"},
                                  {"lomo", "beta1=0.5"},
                                  {"lomo", "state_dtype=bfloat16"},
                                  {"adamw", "momentum=0.5"},
                                  {"muon", "dampening=0.5"},
                                  {"adamw", "nesterov=true"},
                                  {"lion", "beta3=0.5"},
                                  {"adamw", "proximal=false"},
                                  {"adamw", "rho=0.1"},
                                  {"adamw", "hessian_interval=3"},
                                  {"adamw", "decay_rate=0.5"},
                                  {"sgd", "clip_threshold=2"},
                                  {"adalomo", "scale_parameter=false"},
                                  {"adamw", "relative_step=true"},
                                  {"adamw", "newton_schulz_steps=3"},
                                  {"adamw", "muon_scale=adamw"},
                                  {"sgd", "groups=[{\"pattern\": \"*\", \"beta1\": 0.5}]"}}) {
    expect_error(with(name, key), "means nothing to");
  }
  expect_error(with("adafactor", "warmup_init=true"), "relative_step");
  expect_error(with("adamw", "clip=previous"), "train.optimizer.clip: means nothing to adamw here");
  expect_error(with("adamw", "rounding=stochastic"), "model.master_weights");
  for (const auto& [name, key] : {std::pair{"sgd", "clip_value=0"},
                                  {"lomo", "clip_value=1"},
                                  {"sgd", "beta1=null"},
                                  {"adamw", "state_dtype=bfloat16"},
                                  {"lomo", "clip=previous"},
                                  {"muon", "beta2=0.9"},
                                  {"adafactor", "beta1=0.9"},
                                  {"sgd", "proximal=true"}}) {
    BOOST_TEST(error_with(with(name, key)) == "no error", key);
  }
  BOOST_TEST(error_with({"train.optimizer.in_backward=true", "train.optimizer.clip=previous"}) ==
             "no error");
}

BOOST_AUTO_TEST_CASE(keys_that_the_schedule_does_not_read_are_refused) {
  expect_error({"train.lr_power=2"},
               "train.lr_power: means nothing to train.lr_schedule cosine: "
               "leave it out; it is read by polynomial");
  expect_error({"train.lr_decay=linear"}, "read by wsd");
  expect_error({"train.lr_decay_steps=3"}, "read by wsd");
  expect_error({"train.lr_timescale=3"}, "read by inverse_sqrt");
  expect_error({"train.lr_schedule=constant", "train.min_lr_ratio=0.1"}, "means nothing to");
  BOOST_TEST(error_with({"train.lr_schedule=wsd", "train.lr_decay=linear",
                         "train.min_lr_ratio=0.1"}) == "no error");
}

BOOST_AUTO_TEST_CASE(keys_that_the_kind_of_evaluator_does_not_read_are_refused) {
  const auto with = [](std::string_view type, std::string_view key) {
    return Overrides{fmt::format(
        R"(eval.evaluators=[{{"type": "perplexity", "data": "a"}},
                            {{"type": "{}", "data": "a", {}}}])",
        type, key)};
  };
  expect_error(with("perplexity", R"("style": "helm")"),
               "eval.evaluators[1].style: means nothing to perplexity: leave it out; it is read by "
               "classification (harness), classification (helm)");
  expect_error(with("generation", R"("end_options": true)"), "evaluators[1].end_options");
  expect_error(with("classification", R"("temperature": 0.5)"), "read by classification (helm)");
  expect_error(with("classification", R"("max_new_tokens": 5)"), "read by classification (helm)");
  expect_error(with("perplexity", R"("target_key": "gold")"), "evaluators[1].target_key");
  for (const auto& [type, key] :
       {std::pair{"perplexity", R"("style": "harness")"},
        {"perplexity", R"("temperature": 0)"},
        {"classification", R"("style": "helm", "max_new_tokens": 5, "temperature": 0.5)"},
        {"classification", R"("end_options": true, "target_key": "gold", "style": null)"},
        {"generation", R"("target_key": "gold", "temperature": 1)"}}) {
    BOOST_TEST(error_with(with(type, key)) == "no error", key);
  }
}

BOOST_AUTO_TEST_CASE(what_a_switch_leaves_without_effect_is_told) {
  BOOST_TEST(warnings_with({}).empty());
  BOOST_TEST(warnings_with({"train.zero=2", "grid.dp=2"}).empty());
  for (const Overrides& overrides : {Overrides{"train.zero=2"},
                                     {"data.packing=false", "data.packing_window=8"},
                                     {"callbacks.early_stop.min_delta=1"},
                                     {"checkpoint.best.metric=a#b"},
                                     {"callbacks.samples.max_tokens=3"},
                                     {"callbacks.max_skipped=7"},
                                     {"eval.max_batches=2"},
                                     {"eval.every_epochs=0.5"}}) {
    const auto warnings = warnings_with(overrides);
    BOOST_TEST(warnings.size() == 1U, overrides.back());
    BOOST_TEST(warnings.at(0).find("no effect") != std::string::npos);
  }
}

BOOST_AUTO_TEST_CASE(steps_and_epochs_between_are_not_given_both) {
  for (const std::string section : {"eval", "checkpoint"}) {
    const std::string epochs = section + ".every_epochs=0.5";
    BOOST_TEST(error_with({epochs}) == "no error");
    expect_error({epochs, section + ".every_steps=2"},
                 section + ".every_epochs: not together with " + section + ".every_steps");
  }
}

}  // namespace
}  // namespace collie
