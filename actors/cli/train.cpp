#include <csignal>
#include <memory>
#include <vector>

#include "actors/cli/command.hpp"
#include "actors/cli/stop_signal.hpp"
#include "actors/progress.hpp"
#include "actors/trainer.hpp"

namespace collie::cli {

namespace {

struct TrainArguments {
  ConfigArguments config;
  std::int64_t max_steps = 0;
  std::string output;
  std::string resume;
  bool print_config = false;
  bool quiet = false;
};

// The shortcuts are overrides too; what --set says comes last and wins.
std::vector<std::string> all_overrides(const TrainArguments& arguments) {
  std::vector<std::string> overrides;
  if (arguments.max_steps > 0) {
    overrides.push_back("train.epochs=0");
    overrides.push_back(fmt::format("train.max_steps={}", arguments.max_steps));
  }
  if (!arguments.output.empty()) overrides.push_back("output.directory=" + arguments.output);
  if (!arguments.resume.empty()) overrides.push_back("checkpoint.resume=" + arguments.resume);
  overrides.insert(overrides.end(), arguments.config.overrides.begin(),
                   arguments.config.overrides.end());
  return overrides;
}

Status train(const TrainArguments& arguments) {
  COLLIE_TRY(const RunConfig config, load_config(arguments.config.file, all_overrides(arguments)));
  if (arguments.print_config) {
    fmt::print("{}\n", dump_json(to_json(config)));
    return ok_status();
  }
  COLLIE_TRY_VOID(require_trainable(config));
  if (!config.tuning.adapter.empty() && !config.model.is_fresh()) {
    COLLIE_TRY_VOID(check_base_of(config.tuning.adapter, config.model.path));
  }
  // A reader that goes away (a pager) must not end the run.
  std::signal(SIGPIPE, SIG_IGN);
  TrainerOptions options;
  options.stop = &watch_stop_signals("\nstopping after this step; press again to exit at once\n",
                                     InterruptedReads::go_on);
  COLLIE_TRY(Trainer trainer, Trainer::create(config, options));
  if (!arguments.quiet) {
    trainer.add_callback(
        std::make_shared<Progress>(detect_progress_options(stdout, config.output.log_every_steps)));
  }
  COLLIE_TRY_VOID(trainer.run());
  return ok_status();
}

}  // namespace

void add_train(CLI::App& program, Action& action) {
  auto arguments = std::make_shared<TrainArguments>();
  CLI::App* verb = add_config_verb(
      program, "train",
      "Train as a configuration says; goes on from the newest checkpoint of the run",
      arguments->config);
  verb->add_option("--max-steps", arguments->max_steps, "train.max_steps, instead of train.epochs")
      ->check(CLI::PositiveNumber);
  verb->add_option("--output", arguments->output, "output.directory")->type_name("DIR");
  verb->add_option("--resume", arguments->resume,
                   "checkpoint.resume: auto, never or a checkpoint directory");
  verb->add_flag("--print-config", arguments->print_config,
                 "Print the whole configuration, defaults included, and do nothing else");
  verb->add_flag("--quiet", arguments->quiet, "No progress; metrics.jsonl is written all the same");
  verb->footer(
      "Ctrl-C or SIGTERM: the step under way is finished and saved, exit code 0; the same command\n"
      "goes on from there. A second one exits at once with code 130.");
  set_action(*verb, arguments, train, action);
}

}  // namespace collie::cli
