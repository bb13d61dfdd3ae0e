// Evaluators: what is asked of a model between steps, or alone. Likelihoods come through the same
// actors, pipeline and messages as training (Mode::evaluate: no gradients), so any grid evaluates;
// every row of an evaluation set is in one place of one global batch, so no sample is lost or
// counted twice whatever the number of replicas.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "actors/callback.hpp"
#include "actors/protocol/trainer_core.hpp"
#include "models/dataset/dataset.hpp"
#include "models/dataset/scored_rows.hpp"
#include "models/generator.hpp"
#include "runtime/config.hpp"

namespace collie {

struct RunSetup;

// What an evaluator may ask of the run.
class EvaluationHost {
 public:
  virtual ~EvaluationHost() = default;
  virtual const RunSetup& setup() const = 0;
  // A stop was asked for and may end this evaluation.
  virtual bool should_stop() const = 0;
  // The unscaled loss of each row, in the order of the rows: rounds of the whole grid. Nothing
  // when should_stop(). A row has at most data.sequence_length + 1 ids.
  virtual Result<std::optional<std::vector<double>>> losses_of(std::span<const ScoredRow> rows) = 0;
  // One round over the `step`th global batch of the validation data, or of `data`.
  virtual Result<RoundOutcome> round(const Dataset& data, std::int64_t step) = 0;
  // What the model goes on with behind each prompt, in their order: rounds of the whole grid, no
  // prompt lost or taken twice whatever the number of replicas. Nothing when should_stop(). Errors:
  // invalid_data for a prompt that does not fit the model (see check_prompt), invalid_config for
  // options out of range, out_of_memory where not one sequence's keys and values have room,
  // non_finite where a prompt's logits are no numbers.
  virtual Result<std::optional<std::vector<GenerationResult>>> generate(
      std::span<const std::vector<std::int32_t>> prompts, const GenerationOptions& options) = 0;
};

class Evaluator {
 public:
  virtual ~Evaluator() = default;
  virtual std::string name() const = 0;
  virtual std::int64_t every_steps() const { return 0; }  // 0: eval.every_steps
  // The names of the figures it will give, without its own; empty where that is not known.
  virtual std::vector<std::string> value_names() const { return {}; }
  // Nothing when host.should_stop() ended it. The event's step and seconds are filled in by the
  // trainer.
  virtual Result<std::optional<EvaluationEvent>> evaluate(EvaluationHost& host) = 0;
};

using EvaluatorList = std::vector<std::shared_ptr<Evaluator>>;

// Loss and perplexity, exact per token: the sum of all losses over the number of all valid tokens.
// max_batches: micro-batches, 0: all data.
std::shared_ptr<Evaluator> make_perplexity_evaluator(std::string name,
                                                     std::shared_ptr<const Dataset> data,
                                                     std::int64_t max_batches,
                                                     std::int64_t every_steps);

// Those of eval.evaluators, whose files are read. Errors, one line each: unknown keys, types,
// metrics (with the nearest known one), names that come twice, unreadable or empty data.
Result<EvaluatorList> make_evaluators(const RunSetup& setup);

}  // namespace collie
