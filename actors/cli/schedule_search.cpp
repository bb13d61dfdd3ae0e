// schedule search.
#include <fmt/format.h>

#include <cstdio>

#include "actors/cli/schedule.hpp"
#include "actors/schedule/search.hpp"
#include "actors/schedule/views/compare.hpp"

namespace collie::cli {

namespace {

struct SearchArguments {
  SourceArguments source;
  SearchOptions search;
  bool synchronous = false;
  bool all = false;
};

std::string command_of(const SearchArguments& arguments, const SearchCandidate& candidate) {
  std::string text = "schedule simulate " + arguments_of(candidate.generator, candidate.options);
  const auto add = [&](std::string_view name, double value, double otherwise) {
    if (value != otherwise) text += fmt::format(" --{} {:g}", name, value);
  };
  const SearchOptions usual;
  const SearchOptions& search = arguments.search;
  text += " --per-rank";
  add("forward", search.costs.forward, usual.costs.forward);
  add("input", search.costs.input, usual.costs.input);
  add("weight", search.costs.weight, usual.costs.weight);
  add("latency", search.latency, usual.latency);
  add("activation", search.memory.activation, usual.memory.activation);
  add("weight-stash", search.memory.weight_stash, usual.memory.weight_stash);
  add("weights", search.memory.weights, usual.memory.weights);
  return text;
}

Status search(const SearchArguments& arguments) {
  SearchOptions options = arguments.search;
  options.ranks = arguments.source.options.ranks;
  options.micro_batches = arguments.source.options.micro_batches;
  options.asynchronous = !arguments.synchronous;
  COLLIE_TRY(const std::vector<SearchCandidate> found, search_schedules(options));
  std::vector<std::vector<std::string>> rows = {
      {"schedule", "time", "bubble", "peak memory", "staleness", "front", "  command"}};
  std::size_t front = 0, refused = 0;
  for (const SearchCandidate& candidate : found) {
    front += candidate.on_front ? 1 : 0;
    refused += candidate.refused.empty() ? 0 : 1;
    if (!candidate.refused.empty() || !(candidate.on_front || arguments.all)) continue;
    rows.push_back({std::string(candidate.generator), short_number(candidate.period),
                    percent(candidate.bubble), short_number(candidate.peak_memory),
                    std::to_string(candidate.staleness), candidate.on_front ? "yes" : "no",
                    "  " + command_of(arguments, candidate)});
  }
  std::fputs(aligned_table(rows, {0, 6}).c_str(), stdout);
  fmt::print("\n{} tried, {} on the front of time, memory and staleness, {} refused\n",
             found.size(), front, refused);
  if (!arguments.all) return ok_status();
  for (const SearchCandidate& candidate : found) {
    if (candidate.refused.empty()) continue;
    fmt::print("refused: {}: {}\n", arguments_of(candidate.generator, candidate.options),
               candidate.refused);
  }
  return ok_status();
}

}  // namespace

void add_schedule_search(CLI::App& schedule, Action& action) {
  auto arguments = std::make_shared<SearchArguments>();
  CLI::App* verb = schedule.add_subcommand(
      "search", "Try all generators and print the front of time, memory and staleness");
  add_source_options(*verb, arguments->source, SourceCount::none);
  SearchOptions& options = arguments->search;
  const auto number = [&](const char* name, double& value, const char* help) {
    verb->add_option(name, value, help)->check(CLI::Range(0.0, 1e15))->capture_default_str();
  };
  number("--forward", options.costs.forward, "Time of F, of a rank's share of the model");
  number("--input", options.costs.input, "... of I");
  number("--weight", options.costs.weight, "... of W");
  number("--latency", options.latency, "Time of a message between ranks");
  number("--activation", options.memory.activation, "Bytes that F keeps for a micro-batch");
  number("--weight-stash", options.memory.weight_stash, "... of these, kept between I and W");
  number("--weights", options.memory.weights, "Bytes of one version of a rank's weights");
  number("--memory-cap", options.memory_cap, "Most bytes of a rank; 0: no limit");
  verb->add_option("--chunks", options.chunks, "Stages per rank to try; 0: the usual number")
      ->delimiter(',')
      ->check(CLI::Range(0, 64));
  verb->add_option("--groups", options.groups,
                   "Micro-batches of a group or STEP to try; 0: the usual number; without it some "
                   "around the ranks")
      ->delimiter(',')
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--slices", options.slices, "Slices of a micro-batch to try")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  verb->add_flag("--synchronous", arguments->synchronous, "Only those without staleness");
  verb->add_flag("--all", arguments->all,
                 "Also those behind the front, and why others are refused");
  set_action(*verb, arguments, search, action);
}

}  // namespace collie::cli
