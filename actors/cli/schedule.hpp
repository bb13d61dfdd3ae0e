// What the verbs of `schedule` share: where a schedule comes from and what its work costs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "actors/cli/command.hpp"
#include "actors/schedule/generators.hpp"
#include "actors/schedule/simulate.hpp"
#include "actors/schedule/validate.hpp"

namespace collie::cli {

// A schedule on the command line: a file, or a generator by name with its options.
struct SourceArguments {
  std::vector<std::string> names;
  ScheduleOptions options = {.ranks = 4, .micro_batches = 8};
};

struct CostArguments {
  std::string file;
  std::string run;  // whose trace tells the costs; empty: none
  std::vector<double> forward = {1.0}, input = {1.0}, weight = {1.0}, recompute = {0.0};
  std::vector<double> step = {0.0}, copy = {0.0};
  double overlapped = -1.0;
  StageMemory memory;  // of one rank's share of the model
  std::string messages = "latency";
  double latency = 0.0, bandwidth = 0.0, jitter = 0.0;
  std::uint64_t seed = 0;
  bool per_rank = false;  // times are of one rank's share, not of one stage
};

enum class SourceCount { one, several, none };  // none: only the options of generators
void add_source_options(CLI::App& verb, SourceArguments& arguments, SourceCount count);
void add_cost_options(CLI::App& verb, CostArguments& arguments);

// name is a generator's, or of a file: .csv is PyTorch's, all else a schedule file. Generators that
// plan with costs are given these.
Result<Schedule> load_schedule(const std::string& name, const SourceArguments& source,
                               const CostArguments& costs);
// Refused where a list of costs is neither one number nor one per stage, or the file is not right.
Result<CostModel> make_costs(const Schedule& schedule, const CostArguments& arguments);
// Of a traced run with as many stages.
Result<CostModel> costs_of_run(const std::string& directory, const Schedule& schedule);
// Prints the costs that a traced run tells, and its step predicted and measured; html: a page with
// both, if not empty.
Status show_calibration(const std::string& directory, const std::string& html);
// "F 1, I 1, W 1": what a picture says of its times.
std::string describe_costs(const CostModel& costs);

// A validated schedule and its times.
struct Simulated {
  Schedule schedule;
  Validation validation;
  CostModel costs;
  Simulation simulation;
  std::optional<Schedule> ran = {};                                // where a policy chose
  const Schedule& shown() const { return ran ? *ran : schedule; }  // what the simulation is of
};
Result<Simulated> simulate_named(const std::string& name, const SourceArguments& source,
                                 const CostArguments& costs, const SimulateOptions& options);

// The terminal's width where there is one, else 100 columns.
int terminal_width();
bool use_colour(const std::string& when);  // auto, always, never; NO_COLOR is obeyed

void add_schedule_list(CLI::App& schedule, Action& action);
void add_schedule_show(CLI::App& schedule, Action& action);
void add_schedule_validate(CLI::App& schedule, Action& action);
void add_schedule_simulate(CLI::App& schedule, Action& action);
void add_schedule_compare(CLI::App& schedule, Action& action);
void add_schedule_search(CLI::App& schedule, Action& action);
void add_schedule_export(CLI::App& schedule, Action& action);
void add_schedule_record(CLI::App& schedule, Action& action);
void add_schedule_reproduce(CLI::App& schedule, Action& action);

}  // namespace collie::cli
