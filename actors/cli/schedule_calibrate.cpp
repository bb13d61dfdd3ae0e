// schedule simulate --calibrate: costs from a run, and the prediction beside what was measured.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "actors/cli/schedule.hpp"
#include "actors/run_trace.hpp"
#include "actors/schedule/calibrate.hpp"
#include "actors/schedule/text_format.hpp"
#include "actors/schedule/views/compare.hpp"
#include "actors/schedule/views/html.hpp"
#include "runtime/file.hpp"

namespace collie::cli {

namespace {

// A traced step in the shape that views draw.
Simulation measured_step(const Trace& trace) {
  Simulation measured;
  double begin = trace.front().front().begin_s;
  for (const auto& rank : trace) begin = std::min(begin, rank.front().begin_s);
  for (const auto& rank : trace) {
    std::vector<TimedAction>& actions = measured.actions.emplace_back();
    double busy = 0.0;
    for (const TracedAction& done : rank) {
      TimedAction& action = actions.emplace_back();
      action.begin = done.begin_s - begin;
      action.end = done.end_s - begin;
      busy += done.end_s - done.begin_s;
    }
    measured.busy.push_back(busy);
    measured.span.push_back(actions.back().end - actions.front().begin);
    measured.makespan = std::max(measured.makespan, actions.back().end);
    measured.peak_memory.push_back(0.0);
  }
  return measured;
}

double span_of(const Trace& trace) {
  return measured_step(trace).makespan;
}

// The step that took the median of the times.
const Trace& typical_step(std::vector<Trace>& steps) {
  const auto middle = steps.begin() + static_cast<std::ptrdiff_t>(steps.size() / 2);
  std::ranges::nth_element(steps, middle, {}, span_of);
  return *middle;
}

void print_costs(const Calibration& calibration) {
  std::vector<std::vector<std::string>> rows = {{"stage", "F, ms", "I, ms", "W, ms", "STEP, ms"}};
  const auto ms = [](double seconds) { return fmt::format("{:.3f}", 1e3 * seconds); };
  for (std::size_t stage = 0; stage < calibration.costs.stages.size(); ++stage) {
    const StageCosts& costs = calibration.costs.stages[stage];
    rows.push_back({std::to_string(stage), ms(costs.forward), ms(costs.input), ms(costs.weight),
                    ms(costs.step)});
  }
  fmt::print("{}\n", aligned_table(rows));
  fmt::print(
      "between two actions {:.3f} ms (in the times above), a message {:.3f} ms, the end of a "
      "step {:.3f} ms\n\n",
      1e3 * calibration.overhead_s, 1e3 * calibration.costs.latency, 1e3 * calibration.barrier_s);
}

void print_residuals(const Calibration& calibration) {
  std::vector<std::vector<std::string>> rows = {
      {"action", "takes, ms", "begins late, ms (median)", "worst, ms"}};
  for (const Residual& residual : calibration.residuals) {
    rows.push_back({residual.what, fmt::format("{:.3f}", 1e3 * residual.measured_s),
                    fmt::format("{:+.3f}", 1e3 * residual.begins_late_s),
                    fmt::format("{:+.3f}", 1e3 * residual.worst_late_s)});
  }
  fmt::print("{}\n", aligned_table(rows));
  fmt::print("a step takes {:.3f} ms measured, {:.3f} ms predicted ({:+.1f} %)\n",
             1e3 * calibration.measured_s, 1e3 * calibration.predicted_s,
             100.0 * (calibration.predicted_s / calibration.measured_s - 1.0));
}

Status write_both(const RunTrace& run, const Trace& step, const CostModel& costs,
                  const std::string& path) {
  COLLIE_TRY(const Simulation simulated, simulate(run.schedule, costs, {.with_memory = false}));
  const Simulation measured = measured_step(step);
  const Validation validation = validate(run.schedule);
  const Picture pictures[] = {// NOLINT(modernize-avoid-c-arrays)
                              {.title = fmt::format("{}, simulated", run.schedule.name),
                               .note = "With the median times of the run below.",
                               .schedule = &run.schedule,
                               .simulation = &simulated,
                               .validation = &validation},
                              {.title = fmt::format("{}, measured", run.schedule.name),
                               .note = "One step of the run: the one that took the median time.",
                               .schedule = &run.schedule,
                               .simulation = &measured,
                               .validation = &validation}};
  COLLIE_TRY(
      const std::string page,
      html_page(pictures, {.title = fmt::format("{}: simulated and measured", run.schedule.name),
                           .time_unit = "s"}));
  return write_file_atomic(path, page);
}

// Of a policy's run: as if the order chosen most typically had been the program, and the steps that
// chose it.
void keep_one_order(RunTrace& run) {
  if (!run.schedule.policy.decides() || run.steps.empty()) return;
  const Schedule policy = run.schedule;
  run.schedule = recorded(policy, typical_step(run.steps));
  std::erase_if(run.steps,
                [&](const Trace& step) { return recorded(policy, step) != run.schedule; });
}

struct RecordArguments {
  std::string run, output;
};

Status record_schedule(const RecordArguments& arguments) {
  COLLIE_TRY(RunTrace run, read_run_trace(arguments.run));
  if (run.steps.empty()) {
    return make_error(ErrorCode::invalid_data, "{}: has no whole traced step", arguments.run);
  }
  const std::string text = to_text(recorded(run.schedule, typical_step(run.steps)));
  if (!arguments.output.empty()) return write_file_atomic(arguments.output, text);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return ok_status();
}

}  // namespace

void add_schedule_record(CLI::App& schedule, Action& action) {
  auto arguments = std::make_shared<RecordArguments>();
  CLI::App* verb = schedule.add_subcommand(
      "record", "The order of a traced run's typical step as a schedule file: what a policy chose");
  verb->add_option("RUN", arguments->run, "Directory of a run with output.trace_steps")->required();
  verb->add_option("-o,--output", arguments->output, "File; without it the standard output");
  set_action(*verb, arguments, record_schedule, action);
}

Status show_calibration(const std::string& directory, const std::string& html) {
  COLLIE_TRY(RunTrace run, read_run_trace(directory));
  keep_one_order(run);
  COLLIE_TRY(const Calibration calibration, calibrate(run.schedule, run.steps));
  fmt::print("{}: {} traced steps follow schedule {}\n\n", directory, run.steps.size(),
             run.schedule.name);
  print_costs(calibration);
  print_residuals(calibration);
  if (html.empty()) return ok_status();
  return write_both(run, typical_step(run.steps), calibration.costs, html);
}

Result<CostModel> costs_of_run(const std::string& directory, const Schedule& schedule) {
  COLLIE_TRY(RunTrace run, read_run_trace(directory));
  keep_one_order(run);
  if (run.schedule.stages() != schedule.stages()) {
    return make_error(ErrorCode::invalid_config,
                      "{}: was a run of {} stages, schedule {} has {}: costs of a stage are those "
                      "of its layers",
                      directory, run.schedule.stages(), schedule.name, schedule.stages());
  }
  COLLIE_TRY(Calibration calibration, calibrate(run.schedule, run.steps));
  return std::move(calibration.costs);
}

}  // namespace collie::cli
