#include <algorithm>

#include "actors/evaluators/options.hpp"
#include "actors/run_setup.hpp"

namespace collie {

namespace {

// The model writes on behind every prompt, on the actors that train it.
class GenerationEvaluator final : public MetricEvaluator {
 public:
  GenerationEvaluator(EvaluatorOptions options, MetricList metrics, GenerationSet set)
      : MetricEvaluator(std::move(options), std::move(metrics)), set_(std::move(set)) {}

 private:
  std::int64_t truncated() const override { return set_.truncated; }

  Result<std::optional<std::vector<MetricSample>>> samples(EvaluationHost& host) override {
    GenerationOptions generation;
    generation.max_tokens = options().set.max_new_tokens;
    generation.sampling.temperature = options().temperature;
    std::vector<std::vector<std::int32_t>> prompts;
    for (const GenerationSample& sample : set_.samples) prompts.push_back(sample.prompt);
    COLLIE_TRY(auto results, host.generate(prompts, generation));
    if (!results) return std::optional<std::vector<MetricSample>>();
    std::vector<MetricSample> all;
    for (std::size_t i = 0; i < set_.samples.size(); ++i) {
      MetricSample& shown = all.emplace_back();
      shown.index = static_cast<std::int64_t>(i);
      shown.prediction = std::move((*results)[i].text);
      shown.references = set_.samples[i].references;
    }
    return std::optional(std::move(all));
  }

  GenerationSet set_;
};

}  // namespace

Result<std::shared_ptr<Evaluator>> make_generation_evaluator(EvaluatorOptions options,
                                                             MetricList metrics,
                                                             const TextEncoder& encoder) {
  COLLIE_TRY(GenerationSet set,
             read_generation_set(options.data.validation, options.data, encoder, options.set));
  const auto without = std::ranges::find_if(
      set.samples, [](const GenerationSample& sample) { return sample.references.empty(); });
  const bool compares = std::ranges::any_of(
      metrics, [](const NamedMetric& metric) { return metric.name != "decode"; });
  if (compares && without != set.samples.end()) {
    return make_error(
        ErrorCode::invalid_data,
        "{}: sample {} has no \"{}\" to compare with; measure decode alone, or add it",
        options.data.validation.front(), without - set.samples.begin(), options.set.target_key);
  }
  return std::shared_ptr<Evaluator>(std::make_shared<GenerationEvaluator>(
      std::move(options), std::move(metrics), std::move(set)));
}

}  // namespace collie
