// The evaluators of a run: which are due, and the rounds of the grid they ask for.
#pragma once

#include <atomic>
#include <map>
#include <optional>

#include "actors/evaluator.hpp"
#include "actors/training_grid.hpp"

namespace collie {

class RunEvaluations final : public EvaluationHost {
 public:
  RunEvaluations(TrainingGrid& grid, const std::atomic<bool>* stop) : grid_(grid), stop_(stop) {}

  // invalid_config where there is one of its name.
  Status add(std::shared_ptr<Evaluator> evaluator);
  const EvaluatorList& all() const { return evaluators_; }
  bool is_due(const Evaluator& evaluator, std::int64_t steps) const;
  bool any_due(std::int64_t steps) const;
  // Every "evaluator#value" that is known beforehand.
  std::vector<std::string> value_names() const;
  // Nothing when may_stop allows it and a stop was asked for.
  Result<std::optional<EvaluationEvent>> run(Evaluator& evaluator, std::int64_t steps,
                                             bool may_stop);
  // What the evaluator gave after this step, if it was asked.
  const EvaluationEvent* result_of(const Evaluator& evaluator, std::int64_t steps) const;

  const RunSetup& setup() const override { return grid_.setup(); }
  bool should_stop() const override { return may_stop_ && stop_ != nullptr && stop_->load(); }
  Result<std::optional<std::vector<double>>> losses_of(std::span<const ScoredRow> rows) override;
  Result<RoundOutcome> round(const Dataset& data, std::int64_t step) override;
  Result<std::optional<std::vector<GenerationResult>>> generate(
      std::span<const std::vector<std::int32_t>> prompts,
      const GenerationOptions& options) override;
  // The same of texts, to the end.
  Result<std::vector<GenerationResult>> generate_texts(std::span<const std::string> prompts,
                                                       const GenerationOptions& options);

 private:
  Result<std::vector<std::vector<std::int32_t>>> feed(
      std::span<const std::vector<std::int32_t>> prompts) const;
  Result<GenerationResult> result_of_sequence(GeneratedSequence sequence,
                                              std::size_t prompt_tokens) const;

  TrainingGrid& grid_;
  const std::atomic<bool>* stop_;
  bool may_stop_ = false;
  EvaluatorList evaluators_;
  std::map<std::string, EvaluationEvent> results_;  // the last of each
};

}  // namespace collie
