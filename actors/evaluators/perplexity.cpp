#include <algorithm>
#include <cmath>

#include "actors/evaluator.hpp"
#include "actors/run_setup.hpp"

namespace collie {

namespace {

class PerplexityEvaluator final : public Evaluator {
 public:
  PerplexityEvaluator(std::string name, std::shared_ptr<const Dataset> data,
                      std::int64_t max_batches, std::int64_t every_steps)
      : name_(std::move(name)),
        data_(std::move(data)),
        max_batches_(max_batches),
        every_steps_(every_steps) {}

  std::string name() const override { return name_; }
  std::int64_t every_steps() const override { return every_steps_; }
  std::vector<std::string> value_names() const override { return {"loss", "perplexity"}; }

  Result<std::optional<EvaluationEvent>> evaluate(EvaluationHost& host) override {
    EvaluationEvent event;
    double sum = 0.0;
    const std::int64_t rounds = round_count(host.setup().layout);
    for (std::int64_t round = 0; round < rounds; ++round) {
      if (host.should_stop()) return std::optional<EvaluationEvent>();
      COLLIE_TRY(const RoundOutcome outcome, host.round(*data_, round));
      sum += outcome.loss * static_cast<double>(outcome.valid_tokens);
      event.valid_tokens += outcome.valid_tokens;
    }
    event.name = name_;
    event.loss = sum / static_cast<double>(std::max<std::int64_t>(1, event.valid_tokens));
    event.perplexity = std::exp(event.loss);
    event.values = {{name_ + "#loss", event.loss}, {name_ + "#perplexity", event.perplexity}};
    return std::optional<EvaluationEvent>(std::move(event));
  }

 private:
  std::int64_t round_count(const BatchLayout& layout) const {
    const std::int64_t all = data_->steps_per_epoch(layout);
    const std::int64_t per_round = layout.dp * layout.accumulation;
    return max_batches_ > 0 ? std::min(all, (max_batches_ + per_round - 1) / per_round) : all;
  }

  std::string name_;
  std::shared_ptr<const Dataset> data_;
  std::int64_t max_batches_;
  std::int64_t every_steps_;
};

}  // namespace

std::shared_ptr<Evaluator> make_perplexity_evaluator(std::string name,
                                                     std::shared_ptr<const Dataset> data,
                                                     std::int64_t max_batches,
                                                     std::int64_t every_steps) {
  return std::make_shared<PerplexityEvaluator>(std::move(name), std::move(data), max_batches,
                                               every_steps);
}

}  // namespace collie
