// schedule simulate, compare and export.
#include <fmt/format.h>

#include <cstdio>

#include "actors/cli/schedule.hpp"
#include "actors/schedule/text_format.hpp"
#include "actors/schedule/torch_csv.hpp"
#include "actors/schedule/views/chrome_trace.hpp"
#include "actors/schedule/views/compare.hpp"
#include "actors/schedule/views/html.hpp"
#include "actors/schedule/views/svg.hpp"
#include "runtime/file.hpp"

namespace collie::cli {

namespace {

constexpr int steps_max = 10'000;

struct SimulateArguments {
  SourceArguments source;
  CostArguments costs;
  SimulateOptions options;
  std::string html, svg, trace;
};

Picture picture_of(const Simulated& simulated) {
  return {.title = fmt::format("{}, {} ranks, {} micro-batches", simulated.schedule.name,
                               simulated.schedule.ranks(), simulated.schedule.micro_batches),
          .note = describe_costs(simulated.costs),
          .schedule = &simulated.shown(),
          .simulation = &simulated.simulation,
          .validation = &simulated.validation};
}

Status write_page(std::span<const Picture> pictures, const std::string& path) {
  std::string title;
  for (const Picture& picture : pictures) title += (title.empty() ? "" : " and ") + picture.title;
  COLLIE_TRY(const std::string page, html_page(pictures, {.title = title}));
  return write_file_atomic(path, page);
}

Status write_views(const SimulateArguments& arguments, const Picture& picture) {
  if (!arguments.html.empty()) {
    COLLIE_TRY_VOID(write_page({&picture, 1}, arguments.html));
  }
  if (!arguments.svg.empty()) {
    COLLIE_TRY(const std::string drawing, svg_drawing(picture));
    COLLIE_TRY_VOID(write_file_atomic(arguments.svg, drawing));
  }
  if (!arguments.trace.empty()) {
    COLLIE_TRY(const std::string trace, chrome_trace(picture));
    COLLIE_TRY_VOID(write_file_atomic(arguments.trace, trace));
  }
  return ok_status();
}

// Exact, where messages have a period.
void print_period(const Simulated& simulated) {
  const Result<SteadyState> steady = steady_state(simulated.schedule, simulated.costs);
  if (!steady) {
    fmt::print("\nno exact period: {}\n", steady.error().message);
    return;
  }
  fmt::print("\nperiod of a step, exact: {}, set by\n", short_number(steady->period));
  constexpr std::size_t shown = 12;
  const auto& cycle = steady->critical_cycle;
  for (std::size_t index = 0; index < std::min(cycle.size(), shown); ++index) {
    fmt::print("  {}\n", cycle[index]);
  }
  if (cycle.size() > shown) fmt::print("  ... and {} more actions\n", cycle.size() - shown);
}

void print_ranks(const Simulation& simulation) {
  std::vector<std::vector<std::string>> rows = {{"rank", "busy", "span", "peak memory"}};
  for (std::size_t rank = 0; rank < simulation.busy.size(); ++rank) {
    rows.push_back({std::to_string(rank), short_number(simulation.busy[rank]),
                    short_number(simulation.span[rank]),
                    short_number(simulation.peak_memory[rank])});
  }
  fmt::print("\n{}", aligned_table(rows));
}

Status simulate_schedule(const SimulateArguments& arguments) {
  if (arguments.source.names.empty()) return show_calibration(arguments.costs.run, arguments.html);
  COLLIE_TRY(const Simulated simulated,
             simulate_named(arguments.source.names.front(), arguments.source, arguments.costs,
                            arguments.options));
  const Picture picture = picture_of(simulated);
  COLLIE_TRY_VOID(write_views(arguments, picture));
  fmt::print("{}\n{}\n\n", picture.title, picture.note);
  std::vector<std::vector<std::string>> rows;
  for (const auto& [label, value] : summary_of(picture)) rows.push_back({label, value});
  std::fputs(aligned_table(rows).c_str(), stdout);
  print_ranks(simulated.simulation);
  print_period(simulated);
  return ok_status();
}

struct CompareArguments {
  SourceArguments source;
  CostArguments costs;
  SimulateOptions options;
  std::string html;
};

Status compare_schedules(const CompareArguments& arguments) {
  std::vector<Simulated> all;
  for (const std::string& name : arguments.source.names) {
    COLLIE_TRY(Simulated simulated,
               simulate_named(name, arguments.source, arguments.costs, arguments.options));
    all.push_back(std::move(simulated));
  }
  std::vector<Picture> pictures;
  for (const Simulated& simulated : all) {
    pictures.push_back(picture_of(simulated));
    pictures.back().title = simulated.schedule.name;
  }
  if (!arguments.html.empty()) COLLIE_TRY_VOID(write_page(pictures, arguments.html));
  std::fputs(comparison_table(pictures).c_str(), stdout);
  return ok_status();
}

struct ExportArguments {
  SourceArguments source;
  CostArguments costs;
  std::string format;
  std::string output;
};

Result<std::string> exported(const ExportArguments& arguments) {
  const std::string& name = arguments.source.names.front();
  if (arguments.format == "text" || arguments.format == "csv") {
    COLLIE_TRY(const Schedule schedule, load_schedule(name, arguments.source, arguments.costs));
    if (arguments.format == "text") return to_text(schedule);
    return to_torch_csv(schedule, {.leaves_steps_to_caller = true});
  }
  COLLIE_TRY(const Simulated simulated,
             simulate_named(name, arguments.source, arguments.costs, {}));
  const Picture picture = picture_of(simulated);
  if (arguments.format == "trace") return chrome_trace(picture);
  if (arguments.format == "svg") return svg_drawing(picture);
  return html_page({&picture, 1}, {.title = picture.title});
}

Status export_schedule(const ExportArguments& arguments) {
  COLLIE_TRY(const std::string text, exported(arguments));
  if (!arguments.output.empty()) return write_file_atomic(arguments.output, text);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return ok_status();
}

}  // namespace

void add_schedule_simulate(CLI::App& schedule, Action& action) {
  auto arguments = std::make_shared<SimulateArguments>();
  CLI::App* verb = schedule.add_subcommand("simulate", "Times, idle time and memory of a schedule");
  add_source_options(*verb, arguments->source, SourceCount::one);
  add_cost_options(*verb, arguments->costs);
  CLI::Option* run = verb->add_option(
      "--calibrate", arguments->costs.run,
      "Directory of a run with output.trace_steps: takes the costs from it; without SCHEDULE "
      "prints them and compares the prediction with the run");
  verb->get_option("SCHEDULE")->required(false);
  verb->final_callback([verb, run] {
    if (verb->count("SCHEDULE") == 0 && run->count() == 0) throw CLI::RequiredError("SCHEDULE");
  });
  verb->add_option("--steps", arguments->options.steps, "How often the whole schedule runs")
      ->check(CLI::Range(1, steps_max));
  verb->add_option("--html", arguments->html, "Write a page for a browser, all in one file");
  verb->add_option("--svg", arguments->svg, "Write a drawing");
  verb->add_option("--trace", arguments->trace, "Write trace events for Perfetto (JSON)");
  set_action(*verb, arguments, simulate_schedule, action);
}

void add_schedule_compare(CLI::App& schedule, Action& action) {
  auto arguments = std::make_shared<CompareArguments>();
  CLI::App* verb = schedule.add_subcommand(
      "compare", "Several schedules of the same model: times are of a rank's share of it");
  add_source_options(*verb, arguments->source, SourceCount::several);
  add_cost_options(*verb, arguments->costs);
  verb->remove_option(verb->get_option("--per-rank"));
  arguments->costs.per_rank = true;
  verb->add_option("--steps", arguments->options.steps, "How often the whole schedule runs")
      ->check(CLI::Range(1, steps_max));
  verb->add_option("--html", arguments->html, "Write a page with all of them, one above the other");
  set_action(*verb, arguments, compare_schedules, action);
}

void add_schedule_export(CLI::App& schedule, Action& action) {
  auto arguments = std::make_shared<ExportArguments>();
  CLI::App* verb = schedule.add_subcommand("export", "A schedule in another form");
  add_source_options(*verb, arguments->source, SourceCount::one);
  add_cost_options(*verb, arguments->costs);
  verb->add_option("--format", arguments->format,
                   "text (schedule file), csv (torch.distributed.pipelining), trace, svg or html")
      ->required()
      ->check(CLI::IsMember({"text", "csv", "trace", "svg", "html"}));
  verb->add_option("-o,--output", arguments->output, "File; without it the standard output");
  set_action(*verb, arguments, export_schedule, action);
}

}  // namespace collie::cli
