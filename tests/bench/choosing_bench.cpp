// What it takes a stage actor to choose an action: nanoseconds, best of five, one thread.
#include <fmt/format.h>

#include <cstdlib>

#include "actors/protocol/program_cursor.hpp"
#include "actors/schedule/generators.hpp"
#include "tests/bench/best_of.hpp"

namespace collie::bench {
namespace {

// One rank's cursor in the middle of a pipeline whose messages have all come: nanoseconds for
// startable() and started() of each action.
double choosing_ns(const Schedule& schedule, int rank) {
  const Placement& placement = schedule.placement;
  const int last = schedule.stages() - 1;
  const auto is_here = [&](int stage) {
    return stage >= 0 && stage <= last && placement.rank_of(stage) == rank;
  };
  std::vector<HostedStage> hosted;
  std::vector<Inbox> inboxes;
  for (int stage = 0; stage <= last; ++stage) {
    if (!is_here(stage)) continue;
    hosted.push_back({.stage = stage,
                      .is_first = stage == 0,
                      .is_last = stage == last,
                      .previous_is_here = is_here(stage - 1),
                      .next_is_here = is_here(stage + 1)});
    Inbox& inbox = inboxes.emplace_back(1, 0);
    inbox.begin_round(1);
    for (int mb = 0; mb < schedule.micro_batches; ++mb) {
      const Stamp stamp{1, 0, 1, static_cast<std::uint32_t>(mb)};
      inbox.accept(Tokens{stamp, {}});
      inbox.accept(Activation{stamp, {}});
      inbox.accept(Gradient{stamp, {}});
    }
  }
  const auto& program = schedule.programs[static_cast<std::size_t>(rank)];
  ProgramCursor cursor(hosted, schedule.ranks(), program, schedule.micro_batches, false,
                       schedule.policy);
  std::size_t actions = 0;
  const double seconds = best_of_five_s([&] {
    cursor.begin_round(Mode::train, 1, schedule.micro_batches);
    while (!cursor.finished()) cursor.started(*cursor.startable(inboxes));
    actions = cursor.position();
  });
  return seconds / static_cast<double>(actions) * 1e9;
}

bool bench_choosing(std::string_view name, const Policy& policy) {
  auto schedule = make_schedule(name, {.ranks = 8, .micro_batches = 64});
  if (!schedule.ok()) return false;
  schedule->policy = policy;
  fmt::print("{}{}, 8 ranks x 64 micro-batches: {:.0f} ns to choose an action\n", name,
             policy.decides() ? " with a policy" : "", choosing_ns(*schedule, 3));
  return true;
}

}  // namespace
}  // namespace collie::bench

int main() {
  const collie::Policy policy = {
      {collie::Verb::backward_input, collie::Verb::forward, collie::Verb::backward_weight}, 8};
  bool is_done = collie::bench::bench_choosing("1f1b", {});
  is_done = collie::bench::bench_choosing("zbv", {}) && is_done;
  is_done = collie::bench::bench_choosing("zbv", policy) && is_done;
  return is_done ? EXIT_SUCCESS : EXIT_FAILURE;
}
