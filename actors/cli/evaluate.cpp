#include <memory>
#include <vector>

#include "actors/cli/command.hpp"
#include "actors/progress_format.hpp"
#include "actors/trainer.hpp"

namespace collie::cli {

namespace {

struct EvaluateArguments {
  ConfigArguments config;
  std::string model;
  std::string adapter;
};

void print(const EvaluationEvent& evaluation) {
  if (evaluation.name == "validation") {
    print_row("loss", fmt::format("{:.6f}", evaluation.loss));
    print_row("perplexity", fmt::format("{:.4f}", evaluation.perplexity));
    print_row("tokens", std::to_string(evaluation.valid_tokens));
    print_row("time", format_duration(evaluation.seconds));
    return;
  }
  for (const MetricValue& value : evaluation.values) {
    print_row(value.name, fmt::format("{:.6g}", value.value));
  }
  print_row(evaluation.name + " time", format_duration(evaluation.seconds));
  if (evaluation.truncated == 0) return;
  print_row(evaluation.name + " cut",
            fmt::format("{} of {} samples lost the beginning of their context",
                        evaluation.truncated, evaluation.samples));
}

Status evaluate(const EvaluateArguments& arguments) {
  COLLIE_TRY(RunConfig config, load_config(arguments.config.file, arguments.config.overrides));
  if (!arguments.model.empty()) {
    config.model.path = arguments.model;
    config.model.fresh = nullptr;
    config.model.tokenizer.clear();
    config.model.tokenizer_vocab_size = 0;
    config.checkpoint.resume = "never";
  }
  if (!arguments.adapter.empty()) {
    config.tuning = TuningSection{};
    config.tuning.adapter = arguments.adapter;
    config.checkpoint.resume = "never";
  } else if (!arguments.model.empty()) {
    config.tuning = TuningSection{};
  }
  if (!config.tuning.adapter.empty() && !config.model.is_fresh()) {
    COLLIE_TRY_VOID(check_base_of(config.tuning.adapter, config.model.path));
  }
  TrainerOptions options;
  options.only_evaluates = true;
  COLLIE_TRY(Trainer trainer, Trainer::create(config, options));
  COLLIE_TRY(const std::vector<EvaluationEvent> evaluations, trainer.evaluate_all());
  for (const EvaluationEvent& evaluation : evaluations) print(evaluation);
  return ok_status();
}

}  // namespace

void add_evaluate(CLI::App& program, Action& action) {
  auto arguments = std::make_shared<EvaluateArguments>();
  CLI::App* verb =
      add_config_verb(program, "evaluate",
                      "Loss and perplexity of a configuration's validation data, and what "
                      "its eval.evaluators measure",
                      arguments->config);
  verb->add_option("--model", arguments->model,
                   "Model directory to evaluate; otherwise the run's newest checkpoint, or the "
                   "model the configuration starts from")
      ->type_name("DIR");
  verb->add_option("--adapter", arguments->adapter,
                   "PEFT directory to evaluate beside the model, instead of a checkpoint")
      ->type_name("DIR");
  set_action(*verb, arguments, evaluate, action);
}

}  // namespace collie::cli
