#include "actors/run_evaluations.hpp"

#include <algorithm>
#include <chrono>

#include "models/dataset/text_encoder.hpp"
#include "models/generation_prompt.hpp"
#include "models/peft/tuning.hpp"

namespace collie {

Status RunEvaluations::add(std::shared_ptr<Evaluator> evaluator) {
  for (const auto& other : evaluators_) {
    if (other->name() != evaluator->name()) continue;
    return make_error(ErrorCode::invalid_config, "there are two evaluators named {}",
                      other->name());
  }
  evaluators_.push_back(std::move(evaluator));
  return ok_status();
}

bool RunEvaluations::is_due(const Evaluator& evaluator, std::int64_t steps) const {
  const std::int64_t own = evaluator.every_steps();
  const std::int64_t every = own > 0 ? own : setup().config.eval.every_steps;
  if (every > 0) return steps % every == 0;
  return passes_epochs(setup(), setup().config.eval.every_epochs, steps);
}

bool RunEvaluations::any_due(std::int64_t steps) const {
  return std::ranges::any_of(evaluators_,
                             [&](const auto& evaluator) { return is_due(*evaluator, steps); });
}

std::vector<std::string> RunEvaluations::value_names() const {
  std::vector<std::string> names;
  for (const auto& evaluator : evaluators_) {
    for (const std::string& value : evaluator->value_names()) {
      names.push_back(fmt::format("{}#{}", evaluator->name(), value));
    }
  }
  return names;
}

Result<std::optional<EvaluationEvent>> RunEvaluations::run(Evaluator& evaluator, std::int64_t steps,
                                                           bool may_stop) {
  const auto begin = std::chrono::steady_clock::now();
  may_stop_ = may_stop;
  COLLIE_TRY(std::optional<EvaluationEvent> event, evaluator.evaluate(*this));
  if (!event) return event;
  event->step = steps;
  event->seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  results_[evaluator.name()] = *event;
  return event;
}

const EvaluationEvent* RunEvaluations::result_of(const Evaluator& evaluator,
                                                 std::int64_t steps) const {
  const auto found = results_.find(evaluator.name());
  return found != results_.end() && found->second.step == steps ? &found->second : nullptr;
}

Result<std::optional<std::vector<double>>> RunEvaluations::losses_of(
    std::span<const ScoredRow> rows) {
  const BatchLayout& layout = setup().layout;
  const std::vector<std::size_t> order = longest_first(rows);
  const std::int32_t fill = make_text_encoder(*setup().tokenizer)->fill_id();
  const auto count = static_cast<std::int64_t>(rows.size());
  const std::int64_t before = tokens_before(setup().model.tuning.get());
  std::vector<double> losses(rows.size());
  for (std::int64_t first = 0; first < count; first += layout.global_rows()) {
    if (should_stop()) return std::optional<std::vector<double>>();
    const auto batch = [&, first](int replica, int micro_batch, Allocator& memory) {
      const std::int64_t place = replica * layout.accumulation + micro_batch;
      const std::int64_t begin = std::min(count, first + place * layout.micro_batch_size);
      const std::int64_t end = std::min(count, begin + layout.micro_batch_size);
      std::vector<const ScoredRow*> taken;
      for (std::int64_t i = begin; i < end; ++i) {
        taken.push_back(&rows[order[static_cast<std::size_t>(i)]]);
      }
      return make_scored_batch(taken, layout.micro_batch_size, fill, memory, before);
    };
    COLLIE_TRY(const RoundOutcome outcome, grid_.evaluate(first / layout.global_rows(), batch));
    COLLIE_CHECK(static_cast<std::int64_t>(outcome.row_losses.size()) == layout.global_rows(),
                 "losses of {} rows of {}", outcome.row_losses.size(), layout.global_rows());
    for (std::int64_t i = first; i < std::min(count, first + layout.global_rows()); ++i) {
      losses[order[static_cast<std::size_t>(i)]] =
          outcome.row_losses[static_cast<std::size_t>(i - first)];
    }
  }
  return std::optional(std::move(losses));
}

Result<RoundOutcome> RunEvaluations::round(const Dataset& data, std::int64_t step) {
  return grid_.evaluate(step, [&, step](int replica, int micro_batch, Allocator& memory) {
    return data.micro_batch(setup().layout, step, replica, micro_batch, memory);
  });
}

// As the model takes them in.
Result<std::vector<std::vector<std::int32_t>>> RunEvaluations::feed(
    std::span<const std::vector<std::int32_t>> prompts) const {
  const std::int64_t before = tokens_before(setup().model.tuning.get());
  std::vector<std::vector<std::int32_t>> fed;
  for (const std::vector<std::int32_t>& prompt : prompts) {
    COLLIE_TRY_VOID(check_prompt(setup().model.traits, before, prompt));
    fed.push_back(with_virtual_tokens(before, prompt));
  }
  return fed;
}

Result<GenerationResult> RunEvaluations::result_of_sequence(GeneratedSequence sequence,
                                                            std::size_t prompt_tokens) const {
  if (sequence.finish == FinishReason::non_finite) {
    return make_error(ErrorCode::non_finite,
                      "after {} new tokens the logits of a prompt of {} tokens are no numbers; the "
                      "parameters have diverged",
                      sequence.ids.size(), prompt_tokens);
  }
  GenerationResult result;
  result.text = text_of_ids(*setup().tokenizer, sequence.ids);
  result.ids = std::move(sequence.ids);
  result.prompt_tokens = static_cast<std::int64_t>(prompt_tokens);
  result.finish = sequence.finish;
  return result;
}

Result<std::optional<std::vector<GenerationResult>>> RunEvaluations::generate(
    std::span<const std::vector<std::int32_t>> prompts, const GenerationOptions& options) {
  COLLIE_TRY(const auto fed, feed(prompts));
  std::size_t longest = 0;
  for (const auto& ids : fed) longest = std::max(longest, ids.size());
  COLLIE_TRY(GenerationSettings settings,
             grid_.plan_generation(static_cast<std::int64_t>(longest), options));
  const auto most = static_cast<std::size_t>(setup().model.grid.dp * settings.groups *
                                             settings.rows * limits::generation_round_fills);
  std::vector<GenerationResult> results;
  for (std::size_t first = 0; first < fed.size(); first += most) {
    if (should_stop()) return std::optional<std::vector<GenerationResult>>();
    const auto round = std::span(fed).subspan(first, std::min(most, fed.size() - first));
    settings.prompts = static_cast<int>(round.size());
    COLLIE_TRY(std::vector<GeneratedSequence> sequences,
               grid_.generate(static_cast<std::int64_t>(first / most), settings, round));
    for (GeneratedSequence& sequence : sequences) {
      const std::size_t tokens = prompts[results.size()].size();
      COLLIE_TRY(GenerationResult result, result_of_sequence(std::move(sequence), tokens));
      results.push_back(std::move(result));
    }
  }
  return std::optional(std::move(results));
}

Result<std::vector<GenerationResult>> RunEvaluations::generate_texts(
    std::span<const std::string> prompts, const GenerationOptions& options) {
  std::vector<std::vector<std::int32_t>> ids;
  for (const std::string& prompt : prompts) {
    COLLIE_TRY(std::vector<std::int32_t> encoded, encode_prompt(*setup().tokenizer, prompt));
    ids.push_back(std::move(encoded));
  }
  may_stop_ = false;
  COLLIE_TRY(auto results, generate(ids, options));
  return std::move(*results);
}

}  // namespace collie
