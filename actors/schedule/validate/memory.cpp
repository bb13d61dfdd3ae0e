#include <algorithm>

#include "actors/schedule/validate/checks.hpp"

namespace collie::checks {

namespace {

// Activations of one action's unit, in a rank's share of a micro-batch.
double share(const Schedule& schedule, int rank) {
  const int chunks = schedule.placement.chunks(rank) / schedule.placement.directions();
  return 1.0 / std::max(1, chunks) / schedule.slices;
}

struct Peak {
  int units = 0;
  int position = 0;  // of the forward that makes it
};

// A forward whose unit has an R keeps its input alone: there the R makes the activation.
Peak peak_of(const Subject& subject, const std::vector<Action>& program) {
  std::vector<bool> is_recomputed;
  if (std::ranges::count(program, Verb::recompute, &Action::verb) > 0) {
    is_recomputed.resize(subject.index.unit_count());
    for (const Action& action : program) {
      if (action.verb == Verb::recompute) is_recomputed[subject.index.unit_key(action)] = true;
    }
  }
  Peak peak;
  int held = 0;
  for (std::size_t i = 0; i < program.size(); ++i) {
    const Action& action = program[i];
    const bool makes = action.verb == Verb::recompute ||
                       (action.verb == Verb::forward &&
                        (is_recomputed.empty() || !is_recomputed[subject.index.unit_key(action)]));
    if (makes && ++held > peak.units) peak = {held, static_cast<int>(i)};
    if (makes_weight_gradient(action.verb)) --held;
  }
  return peak;
}

}  // namespace

Found memory(const Subject& subject, const ValidationOptions& options, Validation& result) {
  const Schedule& schedule = subject.schedule;
  Found found;
  for (int rank = 0; rank < schedule.ranks(); ++rank) {
    const auto at_rank = static_cast<std::size_t>(rank);
    if (!subject.trains) {
      result.peak_activations.push_back(share(schedule, rank));  // nothing is kept for a backward
      continue;
    }
    const Peak peak = peak_of(subject, schedule.programs[at_rank]);
    const double amount = peak.units * share(schedule, rank);
    result.peak_activations.push_back(amount);
    // Sums of shares like 1/3 are not exact.
    if (found || options.memory_cap <= 0.0 || amount <= options.memory_cap * (1.0 + 1e-9)) continue;
    found =
        violation(Invariant::memory,
                  "rank {} holds the activations of {:.4g} micro-batches at {} (action {}), "
                  "but the cap is {:.4g}: run a backward before it",
                  rank, amount,
                  to_string(schedule.programs[at_rank][static_cast<std::size_t>(peak.position)]),
                  peak.position + 1, options.memory_cap);
  }
  return found;
}

Found progress(const Subject& subject, const ValidationOptions& options) {
  if (options.memory_cap <= 0.0 || !subject.trains) return std::nullopt;
  for (int rank = 0; rank < subject.schedule.ranks(); ++rank) {
    // All chunks of one micro-batch are alive on its way back.
    if (options.memory_cap >= 1.0 - 1e-9) continue;
    return violation(Invariant::progress,
                     "a memory cap of {:.4g} activations is impossible: rank {} has to hold one "
                     "whole micro-batch before its first backward ends, so that no order fits",
                     options.memory_cap, rank);
  }
  return std::nullopt;
}

}  // namespace collie::checks
