#define BOOST_TEST_MODULE metric
#include "models/metrics/metric.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "../../runtime/temporary_directory.hpp"
#include "runtime/config.hpp"

namespace collie {
namespace {

using test::check_error;
using test::TemporaryDirectory;

std::unique_ptr<Metric> make(std::string_view name, const Json& options = nullptr) {
  return make_metric(name, options, "c.json: eval.metrics").value();
}

double value_of(const Metric& metric, std::string_view name) {
  const std::vector<MetricValue> values = metric.result().value();
  for (const MetricValue& value : values) {
    if (value.name == name) return value.value;
  }
  BOOST_REQUIRE_MESSAGE(false, name);
  return 0.0;
}

std::vector<MetricSample> losses(std::int64_t count) {
  std::mt19937_64 random(7);
  std::vector<MetricSample> samples(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    MetricSample& sample = samples[static_cast<std::size_t>(i)];
    sample.index = i;
    sample.valid_tokens = static_cast<std::int64_t>(random() % 100);
    sample.loss_sum = static_cast<double>(random() % 1'000'000) / 3e4;
  }
  return samples;
}

BOOST_AUTO_TEST_CASE(perplexity_weighs_tokens_not_batches) {
  const auto metric = make("perplexity");
  MetricSample one;
  one.index = 0;
  one.loss_sum = 30.0;
  one.valid_tokens = 10;
  MetricSample two;
  two.index = 1;
  two.loss_sum = 90.0;
  two.valid_tokens = 90;
  BOOST_REQUIRE(metric->update(std::vector{one}).ok());
  BOOST_REQUIRE(metric->update(std::vector{two}).ok());
  BOOST_TEST(value_of(*metric, "perplexity") == std::exp(1.2));
  BOOST_TEST(value_of(*metric, "tokens") == 100.0);
}

BOOST_AUTO_TEST_CASE(the_division_over_replicas_does_not_change_a_bit) {
  const std::vector<MetricSample> samples = losses(301);
  const auto whole = make("perplexity");
  BOOST_REQUIRE(whole->update(samples).ok());
  for (std::size_t replicas = 2; replicas <= 5; ++replicas) {
    // Dealt round robin in whole rounds; the last round goes on with the first samples again.
    std::vector<std::unique_ptr<Metric>> parts;
    for (std::size_t rank = 0; rank < replicas; ++rank) {
      parts.push_back(make("perplexity"));
      for (std::size_t i = rank; i < samples.size() + rank; i += replicas) {
        BOOST_REQUIRE(parts[rank]->update(std::vector{samples[i % samples.size()]}).ok());
      }
      if (rank > 0) parts[0]->merge(*parts[rank]);
    }
    BOOST_TEST(parts[0]->sample_count() == 301);
    BOOST_TEST(value_of(*parts[0], "perplexity") == value_of(*whole, "perplexity"));
  }
}

BOOST_AUTO_TEST_CASE(reset_forgets_all) {
  const auto metric = make("perplexity");
  BOOST_REQUIRE(metric->update(losses(5)).ok());
  metric->reset();
  BOOST_TEST(metric->sample_count() == 0);
  check_error(metric->result(), ErrorCode::invalid_data, "the evaluation set is empty");
}

BOOST_AUTO_TEST_CASE(unknown_names_are_refused_with_the_nearest) {
  const auto refuse = [](std::string_view name, const Json& options, std::string_view text) {
    check_error(make_metric(name, options, "c.json: eval.metrics"), ErrorCode::invalid_config,
                text);
  };
  refuse("rogue", nullptr, "c.json: eval.metrics: unknown metric 'rogue'");
  refuse("rogue", nullptr, "did you mean 'rouge'?");
  refuse("a\nb", nullptr, "unknown metric");
  refuse("bleu", {{"tokeniser", "13a"}}, "did you mean 'tokenizer'?");
  refuse("bleu", {{"tokenizer", "13"}}, "did you mean '13a'?");
  refuse("bleu", {{"smoothing", 3}}, "bleu.smoothing");
  refuse("bleu", {{"max_order", 9}}, "bleu.max_order");
  refuse("rouge", {{"types", {"rouge1", "rougel"}}}, "did you mean 'rougeL'?");
  refuse("rouge", {{"types", {"rouge1", "rouge1"}}}, "twice");
  refuse("rouge", {{"types", Json::array()}}, "at least one");
  refuse("classification", {{"average", "makro"}}, "did you mean 'macro'?");
  refuse("classification", {{"beta", 0}}, "classification.beta");
  refuse("accuracy", {{"x", 0}}, "accuracy");
  refuse("accuracy", Json::array(), "accuracy");
}

BOOST_AUTO_TEST_CASE(samples_that_lack_something_are_refused) {
  const auto refuse = [](std::string_view name, const MetricSample& sample, std::string_view text) {
    const ErrorCode code = name == "perplexity" ? ErrorCode::non_finite : ErrorCode::invalid_data;
    check_error(make(name)->update({&sample, 1}), code, text);
  };
  MetricSample sample;
  sample.index = 12;
  for (const std::string_view name : {"bleu", "rouge", "exact_match"}) {
    refuse(name, sample, "sample 12: has no reference");
  }
  refuse("accuracy", sample, "accuracy: sample 12: 0 labels and 0 predictions");
  sample.labels = {1, 2};
  refuse("classification", sample, "2 labels and 0 predictions");
  sample.option_log_likelihoods = {-1.0, -2.0};
  refuse("accuracy", sample, "the right one of 2 options is not named");
  sample.labels = {2};
  refuse("accuracy", sample, "the right one of 2 options is not named");
  sample.labels = {1};
  refuse("accuracy", sample, "0 lengths of 2 options");
  sample.option_lengths = {3.0, 0.0};
  refuse("accuracy", sample, "an option is empty");
  sample.loss_sum = std::numeric_limits<double>::infinity();
  refuse("perplexity", sample, "not a finite number");
}

BOOST_AUTO_TEST_CASE(texts_too_long_to_compare_are_refused) {
  MetricSample sample;
  sample.index = 0;
  for (int i = 0; i < 20'000; ++i) sample.prediction += "a ";
  sample.references = {sample.prediction};
  check_error(make("rouge")->update({&sample, 1}), ErrorCode::invalid_data, "too long to compare");
  BOOST_TEST(make("rouge", {{"types", {"rouge1"}}})->update({&sample, 1}).ok());
}

BOOST_AUTO_TEST_CASE(labels_below_zero_do_not_count) {
  MetricSample sample;
  sample.index = 0;
  sample.labels = {1, -1, 0};
  sample.predicted_labels = {1, -1, -1};
  const auto metric = make("accuracy");
  BOOST_REQUIRE(metric->update({&sample, 1}).ok());
  BOOST_TEST(value_of(*metric, "acc") == 0.5);
  BOOST_TEST(value_of(*metric, "total") == 2.0);
  const auto micro = make("classification", {{"average", "micro"}});
  BOOST_REQUIRE(micro->update({&sample, 1}).ok());
  BOOST_TEST(value_of(*micro, "precision") == 1.0);  // "no class" is no wrong class
  BOOST_TEST(value_of(*micro, "recall") == 0.5);
}

BOOST_AUTO_TEST_CASE(decode_writes_what_was_decoded_in_order) {
  const TemporaryDirectory folder;
  const auto metric = make("decode", {{"max_samples", 2}});
  std::vector<MetricSample> samples(3);
  for (std::size_t i = 0; i < 3; ++i) {
    samples[i].index = static_cast<std::int64_t>(2 - i);
    samples[i].prediction = "line\n\xff \"" + std::to_string(2 - i);
    samples[i].references = {"r"};
  }
  BOOST_REQUIRE(metric->update(samples).ok());
  BOOST_TEST(value_of(*metric, "samples") == 3.0);
  BOOST_REQUIRE(metric->save(folder.path()).ok());
  BOOST_TEST(folder.get("decode.jsonl") ==
             "{\"index\":0,\"prediction\":\"line\\n\xEF\xBF\xBD \\\"0\",\"references\":[\"r\"]}\n"
             "{\"index\":1,\"prediction\":\"line\\n\xEF\xBF\xBD \\\"1\",\"references\":[\"r\"]}\n");
  BOOST_TEST(!metric->save(folder.file("absent")).ok());
}

BOOST_AUTO_TEST_CASE(the_configuration_knows_every_metric) {
  const Json schema = config_schema();
  const Json& names = schema.at(Json::json_pointer(
      "/properties/eval/properties/evaluators/items/properties/metrics/anyOf/0/enum"));
  BOOST_TEST(
      names.get<std::set<std::string>>() ==
          [] {
            const std::vector<std::string> known = metric_names();
            return std::set<std::string>(known.begin(), known.end());
          }(),
      boost::test_tools::per_element());
}

}  // namespace
}  // namespace collie
