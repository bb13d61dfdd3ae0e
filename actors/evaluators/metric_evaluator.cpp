#include <set>

#include "actors/evaluators/options.hpp"
#include "runtime/file.hpp"

namespace collie {

namespace {

// A sample that every metric can read, to learn what they call their figures.
MetricSample any_sample() {
  MetricSample sample;
  sample.index = 0;
  sample.prediction = std::string("a");
  sample.references = {"a"};
  sample.predicted_labels = {0};
  sample.labels = {0};
  return sample;
}

MetricSample any_choice() {
  MetricSample sample = any_sample();
  sample.option_log_likelihoods = {-1.0, -2.0};
  sample.option_lengths = {1.0, 1.0};
  return sample;
}

// Under "evaluator#value"; a second figure of that name also tells of which metric it is.
void add_values(const std::string& evaluator, const NamedMetric& metric,
                const std::vector<MetricValue>& values, std::vector<MetricValue>& all) {
  std::set<std::string> taken;
  for (const MetricValue& value : all) taken.insert(value.name);
  for (const MetricValue& value : values) {
    std::string name = fmt::format("{}#{}", evaluator, value.name);
    if (taken.contains(name)) name = fmt::format("{}#{}.{}", evaluator, metric.name, value.name);
    all.push_back({std::move(name), value.value});
  }
}

}  // namespace

std::vector<std::string> MetricEvaluator::value_names() const {
  const bool is_choice =
      options_.type == "classification" && options_.set.style == ClassificationStyle::harness;
  const MetricSample sample = is_choice ? any_choice() : any_sample();
  std::vector<MetricValue> all;
  for (const NamedMetric& metric : metrics_) {
    metric.metric->reset();
    if (!metric.metric->update({&sample, 1})) continue;
    const auto values = metric.metric->result();
    metric.metric->reset();
    if (values) add_values(options_.name, metric, *values, all);
  }
  std::vector<std::string> names;
  for (const MetricValue& value : all) names.push_back(value.name.substr(value.name.find('#') + 1));
  return names;
}

Result<std::optional<EvaluationEvent>> MetricEvaluator::evaluate(EvaluationHost& host) {
  COLLIE_TRY(const auto shown, samples(host));
  if (!shown) return std::optional<EvaluationEvent>();
  EvaluationEvent event;
  event.name = options_.name;
  event.type = options_.type;
  event.samples = static_cast<std::int64_t>(shown->size());
  event.truncated = truncated();
  for (const NamedMetric& metric : metrics_) {
    metric.metric->reset();
    COLLIE_TRY_VOID(metric.metric->update(*shown));
    COLLIE_TRY(const std::vector<MetricValue> values, metric.metric->result());
    add_values(options_.name, metric, values, event.values);
    if (metric.name == "decode") COLLIE_TRY_VOID(save(*metric.metric));
    metric.metric->reset();
  }
  return std::optional<EvaluationEvent>(std::move(event));
}

Status MetricEvaluator::save(const Metric& metric) const {
  COLLIE_TRY_VOID(make_directories(options_.directory));
  return metric.save(options_.directory);
}

}  // namespace collie
