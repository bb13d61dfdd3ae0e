// schedule list, show and validate.
#include <fmt/format.h>

#include <cstdio>

#include "actors/cli/schedule.hpp"
#include "actors/schedule/text_format.hpp"
#include "actors/schedule/views/compare.hpp"
#include "actors/schedule/views/terminal.hpp"

namespace collie::cli {

namespace {

Status list_schedules(const Unit&) {
  std::size_t names = 0, titles = 0, needs = 0;
  for (const ScheduleGenerator& generator : schedule_generators()) {
    names = std::max(names, generator.name.size());
    titles = std::max(titles, generator.title.size());
    needs = std::max(needs, arguments_taken(generator).size());
  }
  const auto row = [&](std::string_view name, std::string_view title, std::string_view kind,
                       std::string_view wants, std::string_view source) {
    fmt::print("{:<{}}  {:<{}}  {:<5}  {:<{}}  {}\n", name, names, title, titles, kind, wants,
               needs, source);
  };
  row("name", "schedule", "kind", "takes", "paper");
  for (const ScheduleGenerator& generator : schedule_generators()) {
    row(generator.name, generator.title, generator.asynchronous ? "async" : "sync",
        arguments_taken(generator), generator.source);
  }
  return ok_status();
}

struct ShowArguments {
  SourceArguments source;
  bool text = false;
  double from = 0.0, to = 0.0;
  int width = 0;
  std::string colour = "auto";
};

// The file up to the programs.
std::string header_of(const Schedule& schedule) {
  Schedule empty = schedule;
  for (auto& program : empty.programs) program.clear();
  const std::string text = to_text(empty);
  return text.substr(
      0, text.find("\nrank ") == std::string::npos ? text.size() : text.find("\nrank ") + 1);
}

Status show_schedule(const ShowArguments& arguments) {
  const std::string& name = arguments.source.names.front();
  if (arguments.text) {
    COLLIE_TRY(const Schedule schedule, load_schedule(name, arguments.source, {}));
    std::fputs(to_text(schedule).c_str(), stdout);
    return ok_status();
  }
  COLLIE_TRY(const Simulated simulated,
             simulate_named(name, arguments.source, {}, {.with_memory = false}));
  const Picture picture = {
      .title = name, .schedule = &simulated.shown(), .simulation = &simulated.simulation};
  COLLIE_TRY(
      const std::string timeline,
      terminal_timeline(picture, {arguments.width > 0 ? arguments.width : terminal_width(),
                                  use_colour(arguments.colour), arguments.from, arguments.to}));
  fmt::print("{}\n{}", header_of(simulated.schedule), timeline);
  return ok_status();
}

struct ValidateArguments {
  SourceArguments source;
  double memory_cap = 0.0;
};

// Where one of the first is broken, the later ones mean nothing.
constexpr auto last_structural = static_cast<int>(Invariant::channels);

void print_invariants(const Validation& validation) {
  const bool cut = !validation.ok() &&
                   static_cast<int>(validation.violations.front().invariant) <= last_structural;
  for (int index = 0; index <= static_cast<int>(Invariant::progress); ++index) {
    const auto invariant = static_cast<Invariant>(index);
    std::string verdict = "holds";
    if (cut && index > static_cast<int>(validation.violations.front().invariant)) {
      verdict = "not checked";
    }
    for (const Violation& violation : validation.violations) {
      if (violation.invariant == invariant) verdict = "BROKEN: " + violation.sentence;
    }
    fmt::print("{:<20} {}\n", name_of(invariant), verdict);
  }
  for (const Violation& violation : validation.violations) {
    if (!violation.picture.empty()) fmt::print("\n{}\n", violation.picture);
  }
}

std::string credit_text(int credit) {
  return credit < 0 ? std::string("deadlock at any depth") : std::to_string(credit);
}

std::string range_text(int low, int high) {
  return low == high ? std::to_string(low) : fmt::format("{} to {}", low, high);
}

void print_proved(const Schedule& schedule, const Validation& validation) {
  fmt::print("\n{:<20} {} with tagged mailboxes, {} with FIFO channels\n", "least credit",
             credit_text(validation.minimum_credit_tagged),
             credit_text(validation.minimum_credit_fifo));
  std::vector<std::vector<std::string>> rows = {{"rank", "peak activations"}};
  for (std::size_t rank = 0; rank < validation.peak_activations.size(); ++rank) {
    rows.push_back({std::to_string(rank), short_number(validation.peak_activations[rank])});
  }
  fmt::print("\n{}", aligned_table(rows));
  rows = {{"stage", "staleness", "mismatch", "weight versions"}};
  for (std::size_t stage = 0; stage < validation.versions.size(); ++stage) {
    const StageVersions& versions = validation.versions[stage];
    rows.push_back({std::to_string(stage),
                    range_text(versions.staleness_min, versions.staleness_max),
                    range_text(versions.mismatch_min, versions.mismatch_max),
                    std::to_string(versions.versions)});
  }
  if (!schedule.contract.synchronous) fmt::print("\n{}", aligned_table(rows));
}

Status validate_schedule(const ValidateArguments& arguments) {
  const std::string& name = arguments.source.names.front();
  COLLIE_TRY(const Schedule schedule, load_schedule(name, arguments.source, {}));
  const Validation validation = validate(schedule, {.memory_cap = arguments.memory_cap});
  print_invariants(validation);
  if (validation.ok()) {
    print_proved(schedule, validation);
    return ok_status();
  }
  std::fflush(stdout);
  return make_error(ErrorCode::invalid_config, "schedule {}: {} ({})", schedule.name,
                    validation.violations.front().sentence,
                    name_of(validation.violations.front().invariant));
}

}  // namespace

void add_schedule_list(CLI::App& schedule, Action& action) {
  CLI::App* verb = schedule.add_subcommand("list", "The schedules that can be generated");
  set_action(*verb, std::make_shared<Unit>(), list_schedules, action);
}

void add_schedule_show(CLI::App& schedule, Action& action) {
  auto arguments = std::make_shared<ShowArguments>();
  CLI::App* verb = schedule.add_subcommand("show", "A schedule's header and timeline, all times 1");
  add_source_options(*verb, arguments->source, SourceCount::one);
  verb->add_flag("--text", arguments->text, "Print it as a schedule file instead");
  verb->add_option("--from", arguments->from, "Begin of the time shown")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--to", arguments->to, "End of the time shown")->check(CLI::PositiveNumber);
  verb->add_option("--width", arguments->width, "Columns; without it the terminal's")
      ->check(CLI::Range(20, 10'000));
  verb->add_option("--color", arguments->colour, "auto, always or never")
      ->check(CLI::IsMember({"auto", "always", "never"}));
  set_action(*verb, arguments, show_schedule, action);
}

void add_schedule_validate(CLI::App& schedule, Action& action) {
  auto arguments = std::make_shared<ValidateArguments>();
  CLI::App* verb = schedule.add_subcommand("validate", "Prove a schedule, or say what breaks it");
  add_source_options(*verb, arguments->source, SourceCount::one);
  verb->add_option("--cap", arguments->memory_cap,
                   "Peak activations a rank may hold, in micro-batches of its share of the model")
      ->check(CLI::NonNegativeNumber);
  set_action(*verb, arguments, validate_schedule, action);
}

}  // namespace collie::cli
