// One entry of eval.evaluators, read and checked.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "actors/evaluator.hpp"
#include "models/dataset/evaluation_set.hpp"
#include "models/dataset/text_encoder.hpp"
#include "models/generator.hpp"
#include "models/metrics/metric.hpp"

namespace collie {

struct EvaluatorOptions {
  std::string name;
  std::string type;
  std::int64_t every_steps = 0;
  DataSection data;  // the run's, with the entry's files as validation data and its field names
  EvaluationSetOptions set;
  double temperature = 0.0;
  std::string directory;  // where metrics save what is no number
};

struct NamedMetric {
  std::string name;
  std::unique_ptr<Metric> metric;
};
using MetricList = std::vector<NamedMetric>;

// Shared by the evaluators that show samples to metrics.
class MetricEvaluator : public Evaluator {
 public:
  MetricEvaluator(EvaluatorOptions options, MetricList metrics)
      : options_(std::move(options)), metrics_(std::move(metrics)) {}

  std::string name() const final { return options_.name; }
  std::int64_t every_steps() const final { return options_.every_steps; }
  std::vector<std::string> value_names() const final;
  Result<std::optional<EvaluationEvent>> evaluate(EvaluationHost& host) final;

 protected:
  // Nothing when the host stops it.
  virtual Result<std::optional<std::vector<MetricSample>>> samples(EvaluationHost& host) = 0;
  virtual std::int64_t truncated() const = 0;
  const EvaluatorOptions& options() const { return options_; }

 private:
  Status save(const Metric& metric) const;
  EvaluatorOptions options_;
  MetricList metrics_;
};

Result<std::shared_ptr<Evaluator>> make_classification_evaluator(EvaluatorOptions options,
                                                                 MetricList metrics,
                                                                 const TextEncoder& encoder);
Result<std::shared_ptr<Evaluator>> make_generation_evaluator(EvaluatorOptions options,
                                                             MetricList metrics,
                                                             const TextEncoder& encoder);

}  // namespace collie
