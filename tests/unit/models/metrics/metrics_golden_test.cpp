#define BOOST_TEST_MODULE metrics_golden
// Against sacrebleu, rouge-score, NLTK, scikit-learn and torchmetrics; see
// goldens/metrics/make_metrics_goldens.py.
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <map>

#include "models/metrics/metric.hpp"
#include "models/metrics/porter_stemmer.hpp"

namespace collie {
namespace {

const Json& golden() {
  static const Json document =
      read_json(std::string(COLLIE_TESTS_DIR) + "/goldens/metrics/metrics.json").value();
  return document;
}

std::vector<MetricSample> samples_of(const Json& golden_case) {
  const Json& texts = golden().at("sets").at(golden_case.at("set").get<std::string>());
  const auto reference_count = golden_case.at("references").get<std::size_t>();
  std::vector<MetricSample> samples;
  for (const Json& text : texts) {
    MetricSample sample;
    sample.index = static_cast<std::int64_t>(samples.size());
    sample.prediction = text.at("prediction").get<std::string>();
    sample.references = text.at("references").get<std::vector<std::string>>();
    if (sample.references.size() > reference_count) sample.references.resize(reference_count);
    samples.push_back(std::move(sample));
  }
  if (golden_case.contains("samples")) samples.resize(golden_case.at("samples").get<std::size_t>());
  return samples;
}

// In two metrics of unequal share, the later samples first and some of them in both.
std::map<std::string, double> measure(std::string_view name, const Json& options,
                                      std::span<const MetricSample> samples) {
  const auto metric = make_metric(name, options, "test").value();
  const auto other = make_metric(name, options, "test").value();
  const std::size_t cut = samples.size() / 3;
  BOOST_REQUIRE(metric->update(samples.subspan(cut)).ok());
  BOOST_REQUIRE(other->update(samples.first(cut + samples.size() / 4)).ok());
  metric->merge(*other);
  BOOST_TEST(metric->sample_count() == static_cast<std::int64_t>(samples.size()));
  std::map<std::string, double> values;
  const std::vector<MetricValue> result = metric->result().value();
  for (const MetricValue& value : result) values[value.name] = value.value;
  return values;
}

void compare(const std::map<std::string, double>& values, const Json& expected) {
  constexpr double tolerance = 1e-9;
  for (const auto& [name, value] : expected.items()) {
    BOOST_REQUIRE_MESSAGE(values.contains(name), name);
    const auto wanted = value.get<double>();
    BOOST_TEST(std::abs(values.at(name) - wanted) <= tolerance * std::abs(wanted),
               name << ": " << values.at(name) << " for " << wanted);
  }
}

void compare_text_metric(std::string_view name) {
  for (const Json& one : golden().at(name)) {
    BOOST_TEST_CONTEXT(dump_json(one.at("set"), 0) << " " << dump_json(one.at("options"), 0)) {
      compare(measure(name, one.at("options"), samples_of(one)), one.at("expected"));
    }
  }
}

BOOST_AUTO_TEST_CASE(bleu_is_sacrebleus) {
  compare_text_metric("bleu");
}

BOOST_AUTO_TEST_CASE(rouge_is_that_of_rouge_score) {
  compare_text_metric("rouge");
}

BOOST_AUTO_TEST_CASE(exact_match_is_squads) {
  compare_text_metric("exact_match");
}

BOOST_AUTO_TEST_CASE(stems_are_nltks) {
  const std::string pairs = golden().at("stems").get<std::string>() + " ";
  int count = 0;
  for (std::size_t begin = 0; begin < pairs.size(); ++count) {
    const std::size_t end = pairs.find(' ', begin);
    const std::size_t colon = pairs.find(':', begin);
    const std::string word = pairs.substr(begin, colon - begin);
    BOOST_TEST(metrics::porter_stem(word) == pairs.substr(colon + 1, end - colon - 1), word);
    begin = end + 1;
  }
  BOOST_TEST(count > 2500);
}

// Ten labels a sample.
BOOST_AUTO_TEST_CASE(classification_is_scikit_learns) {
  const Json& all = golden().at("classification");
  const auto labels = all.at("labels").get<std::vector<std::int64_t>>();
  const auto predicted = all.at("predicted").get<std::vector<std::int64_t>>();
  std::vector<MetricSample> samples(labels.size() / 10);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    samples[i / 10].index = static_cast<std::int64_t>(i / 10);
    samples[i / 10].labels.push_back(labels[i]);
    samples[i / 10].predicted_labels.push_back(predicted[i]);
  }
  samples[3].labels.push_back(-1);  // padding
  samples[3].predicted_labels.push_back(5);
  for (const Json& one : all.at("cases")) {
    BOOST_TEST_CONTEXT(dump_json(one.at("options"), 0)) {
      compare(measure("classification", one.at("options"), samples), one.at("expected"));
    }
  }
}

BOOST_AUTO_TEST_CASE(accuracy_of_options_is_numpys) {
  std::vector<MetricSample> samples;
  for (const Json& one : golden().at("accuracy").at("samples")) {
    MetricSample sample;
    sample.index = static_cast<std::int64_t>(samples.size());
    sample.labels = {one.at("label").get<std::int64_t>()};
    sample.option_log_likelihoods = one.at("log_likelihoods").get<std::vector<double>>();
    sample.option_lengths = one.at("lengths").get<std::vector<double>>();
    samples.push_back(std::move(sample));
  }
  compare(measure("accuracy", nullptr, samples), golden().at("accuracy").at("expected"));
}

}  // namespace
}  // namespace collie
