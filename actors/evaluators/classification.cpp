#include <algorithm>

#include "actors/evaluators/options.hpp"
#include "actors/run_setup.hpp"
#include "models/metrics/text.hpp"

namespace collie {

namespace {

// In characters, without the white space that may stand between question and option.
double length_of(std::string_view text) {
  const std::vector<char32_t> points = metrics::code_points_of(text);
  const auto first = std::ranges::find_if_not(points, metrics::is_python_space);
  return std::max(1.0, static_cast<double>(points.end() - first));
}

std::string_view without_leading_space(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  return begin == std::string_view::npos ? std::string_view() : text.substr(begin);
}

// The option that the text begins with, the longest of several; -1: none.
std::int64_t option_written(std::string_view text, const std::vector<std::string>& options) {
  const std::string_view written = without_leading_space(text);
  std::int64_t found = -1;
  std::size_t longest = 0;
  for (std::size_t i = 0; i < options.size(); ++i) {
    const std::string_view option = without_leading_space(options[i]);
    if (option.size() <= longest || !written.starts_with(option)) continue;
    longest = option.size();
    found = static_cast<std::int64_t>(i);
  }
  return found;
}

class ClassificationEvaluator final : public MetricEvaluator {
 public:
  ClassificationEvaluator(EvaluatorOptions options, MetricList metrics, ClassificationSet set)
      : MetricEvaluator(std::move(options), std::move(metrics)), set_(std::move(set)) {}

 private:
  std::int64_t truncated() const override { return set_.truncated; }

  Result<std::optional<std::vector<MetricSample>>> samples(EvaluationHost& host) override {
    return set_.style == ClassificationStyle::harness ? by_likelihood(host) : by_writing(host);
  }

  Result<std::optional<std::vector<MetricSample>>> by_likelihood(EvaluationHost& host) {
    std::vector<ScoredRow> rows;
    for (const ClassificationSample& sample : set_.samples) {
      for (const std::vector<std::int32_t>& option : sample.options) {
        ScoredRow& row = rows.emplace_back(ScoredRow{sample.context, sample.context.size()});
        row.ids.insert(row.ids.end(), option.begin(), option.end());
      }
    }
    COLLIE_TRY(const auto losses, host.losses_of(rows));
    if (!losses) return std::optional<std::vector<MetricSample>>();
    std::vector<MetricSample> all;
    auto loss = losses->begin();
    for (const ClassificationSample& sample : set_.samples) {
      MetricSample& shown = add(all, sample);
      for (const std::string& text : sample.texts) {
        shown.option_log_likelihoods.push_back(-*loss++);
        shown.option_lengths.push_back(length_of(text));
      }
      const auto best = std::ranges::max_element(shown.option_log_likelihoods);
      shown.predicted_labels = {best - shown.option_log_likelihoods.begin()};
    }
    return std::optional(std::move(all));
  }

  Result<std::optional<std::vector<MetricSample>>> by_writing(EvaluationHost& host) {
    GenerationOptions generation;
    generation.max_tokens = options().set.max_new_tokens;
    generation.sampling.temperature = options().temperature;
    std::vector<std::vector<std::int32_t>> prompts;
    for (const ClassificationSample& sample : set_.samples) prompts.push_back(sample.context);
    COLLIE_TRY(const auto results, host.generate(prompts, generation));
    if (!results) return std::optional<std::vector<MetricSample>>();
    std::vector<MetricSample> all;
    for (std::size_t i = 0; i < set_.samples.size(); ++i) {
      const ClassificationSample& sample = set_.samples[i];
      MetricSample& shown = add(all, sample);
      shown.prediction = (*results)[i].text;
      shown.predicted_labels = {option_written(shown.prediction, sample.texts)};
    }
    return std::optional(std::move(all));
  }

  static MetricSample& add(std::vector<MetricSample>& all, const ClassificationSample& sample) {
    MetricSample& shown = all.emplace_back();
    shown.index = static_cast<std::int64_t>(all.size()) - 1;
    shown.labels = {static_cast<std::int64_t>(sample.gold)};
    shown.references = {sample.texts[sample.gold]};
    return shown;
  }

  ClassificationSet set_;
};

}  // namespace

Result<std::shared_ptr<Evaluator>> make_classification_evaluator(EvaluatorOptions options,
                                                                 MetricList metrics,
                                                                 const TextEncoder& encoder) {
  COLLIE_TRY(ClassificationSet set,
             read_classification_set(options.data.validation, options.data, encoder, options.set));
  return std::shared_ptr<Evaluator>(std::make_shared<ClassificationEvaluator>(
      std::move(options), std::move(metrics), std::move(set)));
}

}  // namespace collie
