// collie-actor-node schedule: its verbs, and where their schedules come from.
#include "actors/cli/schedule.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

#include "actors/schedule/files.hpp"
#include "runtime/file.hpp"
#include "runtime/limits.hpp"
#include "runtime/suggest.hpp"

namespace collie::cli {

namespace {

constexpr const char* schedule_footer =
    "SCHEDULE is a file (a schedule file, or .csv of torch.distributed.pipelining) or the name of "
    "a\n"
    "generator, which --ranks, --micro-batches and the other options belong to.\n"
    "F is a forward, I an input gradient, W a weight gradient, B both: a full backward.\n"
    "Example: collie-actor-node schedule simulate zbv --ranks 4 --micro-batches 8 --html zbv.html";

bool is_generator(const std::string& name, std::vector<std::string>& known) {
  for (const ScheduleGenerator& generator : schedule_generators()) {
    known.emplace_back(generator.name);
    if (generator.name == name) return true;
  }
  return false;
}

// Planning generators take times of one chunk.
ScheduleOptions planned_with(const ScheduleOptions& options, const CostArguments& costs) {
  ScheduleOptions planned = options;
  const double parts = costs.per_rank ? std::max(options.chunks, 1) : 1.0;
  planned.forward = costs.forward.front() / parts;
  planned.input = costs.input.front() / parts;
  planned.weight = costs.weight.front() / parts;
  planned.communication = costs.latency;
  planned.activation = costs.memory.activation;
  planned.weight_stash = costs.memory.weight_stash;
  return planned;
}

}  // namespace

void add_source_options(CLI::App& verb, SourceArguments& arguments, SourceCount count) {
  if (count != SourceCount::none) {
    CLI::Option* names =
        verb.add_option("SCHEDULE", arguments.names, "A file or a generator's name")->required();
    if (count == SourceCount::one) names->expected(1);
  }
  ScheduleOptions& options = arguments.options;
  verb.add_option("--ranks", options.ranks, "Ranks (devices) of the pipeline")
      ->capture_default_str()
      ->group("Generators");
  verb.add_option("--micro-batches", options.micro_batches, "Micro-batches of the whole schedule")
      ->capture_default_str()
      ->group("Generators");
  if (count == SourceCount::none) return;
  verb.add_option("--chunks", options.chunks, "Stages per rank; 0: the usual number")
      ->group("Generators");
  verb.add_option("--group", options.group, "Micro-batches of a group or of a STEP; 0: the usual")
      ->group("Generators");
  verb.add_option("--slices", options.slices, "Slices of a micro-batch (seq1f1b)")
      ->group("Generators");
  verb.add_option("--warm-up-steps", options.warm_up_steps, "Synchronous STEPs first (pipemare)")
      ->group("Generators");
  verb.add_option("--memory-cap", options.memory_cap,
                  "Memory of a rank that planning generators may use, in --activation's unit")
      ->check(CLI::NonNegativeNumber)
      ->group("Generators");
}

Result<Schedule> load_schedule(const std::string& name, const SourceArguments& source,
                               const CostArguments& costs) {
  std::vector<std::string> known;
  if (is_generator(name, known)) return make_schedule(name, planned_with(source.options, costs));
  if (exists(name)) return read_schedule(name);
  return make_error(ErrorCode::not_found,
                    "{}: no such file, and no generator of that name{}; `schedule list` shows them",
                    quoted_name(name), did_you_mean(name, known));
}

Result<Simulated> simulate_named(const std::string& name, const SourceArguments& source,
                                 const CostArguments& costs, const SimulateOptions& options) {
  COLLIE_TRY(Schedule schedule, load_schedule(name, source, costs));
  const std::size_t actions = schedule.action_count();
  if (actions * static_cast<std::size_t>(options.steps) > limits::schedule_actions_max) {
    return make_error(ErrorCode::invalid_config,
                      "{} actions for {} steps are more than {}; lower --steps", actions,
                      options.steps, limits::schedule_actions_max);
  }
  Validation validation = validate(schedule);
  if (!validation.ok()) {
    return make_error(ErrorCode::invalid_config, "{}: {}; `schedule validate` shows more",
                      quoted_name(name), validation.violations.front().sentence);
  }
  COLLIE_TRY(CostModel model, make_costs(schedule, costs));
  COLLIE_TRY(Simulation simulation, simulate(schedule, model, options));
  Simulated simulated{std::move(schedule), std::move(validation), std::move(model),
                      std::move(simulation)};
  if (simulated.schedule.policy.decides()) {
    simulated.ran = as_run(simulated.schedule, simulated.simulation);
  }
  return simulated;
}

int terminal_width() {
  winsize size = {};
  if (isatty(STDOUT_FILENO) != 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
      size.ws_col >= 20) {
    return size.ws_col;
  }
  return 100;
}

bool use_colour(const std::string& when) {
  if (when != "auto") return when == "always";
  const char* no_colour = std::getenv("NO_COLOR");
  return isatty(STDOUT_FILENO) != 0 && (no_colour == nullptr || *no_colour == '\0');
}

void add_schedule(CLI::App& program, Action& action) {
  CLI::App* verb = program.add_subcommand(
      "schedule",
      "Pipeline schedules: list, show, validate, simulate, compare, search, export, reproduce");
  verb->require_subcommand(1);
  verb->footer(schedule_footer);
  add_schedule_list(*verb, action);
  add_schedule_show(*verb, action);
  add_schedule_validate(*verb, action);
  add_schedule_simulate(*verb, action);
  add_schedule_compare(*verb, action);
  add_schedule_search(*verb, action);
  add_schedule_export(*verb, action);
  add_schedule_record(*verb, action);
  add_schedule_reproduce(*verb, action);
}

}  // namespace collie::cli
