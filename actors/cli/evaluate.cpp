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
};

Status evaluate(const EvaluateArguments& arguments) {
  COLLIE_TRY(RunConfig config, load_config(arguments.config.file, arguments.config.overrides));
  if (!arguments.model.empty()) {
    config.model.path = arguments.model;
    config.model.fresh = nullptr;
    config.model.tokenizer.clear();
    config.model.tokenizer_vocab_size = 0;
    config.checkpoint.resume = "never";
  }
  TrainerOptions options;
  options.only_evaluates = true;
  COLLIE_TRY(Trainer trainer, Trainer::create(config, options));
  COLLIE_TRY(const EvaluationEvent evaluation, trainer.evaluate());
  print_row("loss", fmt::format("{:.6f}", evaluation.loss));
  print_row("perplexity", fmt::format("{:.4f}", evaluation.perplexity));
  print_row("tokens", std::to_string(evaluation.valid_tokens));
  print_row("time", format_duration(evaluation.seconds));
  return ok_status();
}

}  // namespace

void add_evaluate(CLI::App& program, Action& action) {
  auto arguments = std::make_shared<EvaluateArguments>();
  CLI::App* verb = add_config_verb(program, "evaluate",
                                   "Loss and perplexity of a configuration's validation data",
                                   arguments->config);
  verb->add_option("--model", arguments->model,
                   "Model directory to evaluate; otherwise the run's newest checkpoint, or the "
                   "model the configuration starts from")
      ->type_name("DIR");
  set_action(*verb, arguments, evaluate, action);
}

}  // namespace collie::cli
