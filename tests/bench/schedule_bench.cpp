// How fast schedules are indexed, lowered, proved and simulated: actions per second, best of five,
// one thread. An event of the simulator is the
// end of an action, or of a pair side by side. At the end 1,024 ranks x 4,096 micro-batches are
// simulated, once.
//   schedule_bench [micro-batches]     default: 16384, of 32 ranks: 10^6 actions for 1F1B
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "actors/schedule/action_index.hpp"
#include "actors/schedule/event_graph.hpp"
#include "actors/schedule/generators.hpp"
#include "actors/schedule/lowering.hpp"
#include "actors/schedule/simulate.hpp"
#include "actors/schedule/validate.hpp"
#include "tests/bench/best_of.hpp"

namespace collie::bench {
namespace {

void report(std::string_view what, std::size_t actions, double seconds) {
  fmt::print("    {:<16}{:>10.1f} ms{:>14.2f} M actions/s\n", what, seconds * 1e3,
             static_cast<double>(actions) / seconds / 1e6);
}

CostModel unit_costs() {
  CostModel costs;
  costs.stages = {{}};
  costs.latency = 0.1;
  return costs;
}

// Whether the schedule exists and is proved.
bool bench(std::string_view name, const ScheduleOptions& options) {
  const Result<Schedule> schedule = make_schedule(name, options);
  if (!schedule.ok()) {
    fmt::print("{}\n", schedule.error().message);
    return false;
  }
  const std::size_t actions = schedule->action_count();
  fmt::print("{}: {} ranks x {} micro-batches, {} actions\n", name, options.ranks,
             options.micro_batches, actions);
  report("index", actions, best_of_five_s([&] { const ActionIndex index(*schedule); }));
  report("lower", actions, best_of_five_s([&] { const Schedule lowered = lower(*schedule); }));
  const Schedule lowered = lower(*schedule);
  const EventGraph graph(lowered);
  const int credit = std::max(1, graph.minimum_credit());
  report("event graph", actions, best_of_five_s([&] { (void)graph.completes(credit); }));
  bool is_proved = true;
  report("validate", actions, best_of_five_s([&] {
           const Validation validation = validate(*schedule);
           is_proved = is_proved && validation.ok();
         }));
  report("simulate", actions, best_of_five_s([&] {
           const auto simulation = simulate(*schedule, unit_costs());
           is_proved = is_proved && simulation.ok();
         }));
  if (std::ranges::none_of(schedule->programs.front(), &Action::overlaps_next)) {
    Schedule chosen = *schedule;
    chosen.policy = {{Verb::backward, Verb::backward_input, Verb::forward, Verb::backward_weight},
                     0};
    report("simulate, policy", actions, best_of_five_s([&] {
             const auto simulation = simulate(chosen, unit_costs(), {.with_memory = false});
             is_proved = is_proved && simulation.ok();
           }));
  }
  return is_proved;
}

// Without memory timelines, which would take more room than all the rest.
bool bench_large(std::string_view name, int ranks, int micro_batches) {
  const auto schedule = make_schedule(name, {.ranks = ranks, .micro_batches = micro_batches});
  if (!schedule.ok()) return false;
  fmt::print("{}: {} ranks x {} micro-batches, {} actions\n", name, ranks, micro_batches,
             schedule->action_count());
  const auto begin = std::chrono::steady_clock::now();
  const auto simulation = simulate(*schedule, unit_costs(), {.with_memory = false});
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  report("simulate", schedule->action_count(), elapsed.count());
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print("    most memory so far {:.2f} GiB\n",
             static_cast<double>(usage.ru_maxrss) / (1 << 20));
  return simulation.ok();
}

}  // namespace
}  // namespace collie::bench

int main(int argc, char** argv) {
  const int micro_batches = argc > 1 ? std::atoi(argv[1]) : 16384;
  bool is_proved = true;
  for (const std::string_view name : {"1f1b", "zb-h1", "pipedream"}) {
    is_proved =
        collie::bench::bench(name, {.ranks = 32, .micro_batches = micro_batches}) && is_proved;
  }
  for (const std::string_view name : {"1f1b", "zb-h1"}) {
    is_proved = collie::bench::bench_large(name, 1024, 4096) && is_proved;
  }
  return is_proved ? EXIT_SUCCESS : EXIT_FAILURE;
}
