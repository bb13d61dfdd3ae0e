#include <algorithm>
#include <limits>

#include "actors/schedule/validate/checks.hpp"

namespace collie::checks {

namespace {

std::size_t count(const Schedule& schedule, bool (*wanted)(Verb)) {
  std::size_t found = 0;
  for (const std::vector<Action>& program : schedule.programs) {
    found += static_cast<std::size_t>(
        std::ranges::count_if(program, [&](const Action& a) { return wanted(a.verb); }));
  }
  return found;
}

bool is_forward(Verb verb) {
  return verb == Verb::forward;
}

std::string unit_name(const Schedule& schedule, const Action& unit) {
  std::string name = fmt::format("stage {} micro-batch {}", unit.stage, unit.micro_batch);
  if (schedule.slices > 1) name += fmt::format(" slice {}", unit.slice);
  return name;
}

Action with(Action action, Verb verb) {
  action.verb = verb;
  return action;
}

// One unit against what it should have.
Found check_unit(const Subject& subject, const Action& unit) {
  const Schedule& schedule = subject.schedule;
  const UnitPlaces& places = subject.index.unit(unit);
  const int rank = schedule.placement.rank_of(unit.stage, unit.direction);
  const std::string name = unit_name(schedule, unit);
  const std::string f = to_string(with(unit, Verb::forward));
  const std::string b = to_string(with(unit, Verb::backward));
  const std::string i = to_string(with(unit, Verb::backward_input));
  const std::string w = to_string(with(unit, Verb::backward_weight));
  if (!places.forward.exists()) {
    return violation(Invariant::completeness, "{} has no forward: add {} to rank {}", name, f,
                     rank);
  }
  if (!subject.trains) return std::nullopt;
  if (!places.input.exists() && !places.weight.exists()) {
    return violation(Invariant::completeness,
                     "{} has no backward: add {} (or {} and {}) to rank {}, after {}", name, b, i,
                     w, rank, f);
  }
  if (!places.weight.exists()) {
    return violation(Invariant::completeness,
                     "{} has an input gradient ({}) but no weight gradient: add {} to rank {}",
                     name, i, w, rank);
  }
  if (!places.input.exists()) {
    return violation(Invariant::completeness,
                     "{} has a weight gradient ({}) but no input gradient: add {} to rank {} "
                     "before it",
                     name, w, i, rank);
  }
  return std::nullopt;
}

Found check_repeated(const Subject& subject) {
  const ActionPlace second = subject.index.repeated();
  if (!second.exists()) return std::nullopt;
  const Action& action = at(subject.schedule, second);
  const UnitPlaces& places = subject.index.unit(action);
  ActionPlace first = places.forward;
  if (action.verb != Verb::forward) {
    const bool clashes_at_input =
        makes_input_gradient(action.verb) && places.input.exists() && places.input != second;
    first = clashes_at_input ? places.input : places.weight;
  }
  return violation(Invariant::completeness, "{} happens twice: {}, and {}; remove one",
                   unit_name(subject.schedule, action), describe(subject.schedule, first),
                   describe(subject.schedule, second));
}

Found check_range(const Subject& subject) {
  const ActionPlace place = subject.index.out_of_range();
  if (!place.exists()) return std::nullopt;
  const Schedule& schedule = subject.schedule;
  return violation(Invariant::completeness,
                   "{}, but the schedule has stages 0 to {}, micro-batches 0 to {}, slices 0 to {} "
                   "and {} direction{}",
                   describe(schedule, place), schedule.stages() - 1, schedule.micro_batches - 1,
                   schedule.slices - 1, schedule.placement.directions(),
                   schedule.placement.directions() == 1 ? "" : "s");
}

// A micro-batch that runs in both directions.
Found check_directions(const Subject& subject) {
  if (subject.schedule.placement.directions() == 1) return std::nullopt;
  const auto& programs = subject.schedule.programs;
  for (std::size_t rank = 0; rank < programs.size(); ++rank) {
    for (std::size_t i = 0; i < programs[rank].size(); ++i) {
      const Action& action = programs[rank][i];
      if (!has_micro_batch(action.verb)) continue;
      const int expected = subject.index.direction_of(action.micro_batch);
      if (action.direction == expected) continue;
      return violation(Invariant::completeness,
                       "{}, in direction {}, but micro-batch {} runs in direction {}; a "
                       "micro-batch stays in one",
                       describe(subject.schedule, {static_cast<int>(rank), static_cast<int>(i)}),
                       action.direction, action.micro_batch, expected);
    }
  }
  return std::nullopt;
}

}  // namespace

bool trains(const Schedule& schedule) {
  return count(schedule, [](Verb verb) {
           return verb == Verb::step || makes_input_gradient(verb) || makes_weight_gradient(verb);
         }) > 0;
}

const Action& at(const Schedule& schedule, ActionPlace place) {
  return schedule
      .programs[static_cast<std::size_t>(place.rank)][static_cast<std::size_t>(place.position)];
}

std::string describe(const Schedule& schedule, ActionPlace place) {
  return fmt::format("rank {} does {} as action {} of {}", place.rank,
                     to_string(at(schedule, place)), place.position + 1,
                     schedule.programs[static_cast<std::size_t>(place.rank)].size());
}

Found shape(const Schedule& schedule) {
  if (static_cast<int>(schedule.programs.size()) != schedule.ranks()) {
    return violation(Invariant::completeness, "{} programs for {} ranks: each rank has one",
                     schedule.programs.size(), schedule.ranks());
  }
  if (schedule.micro_batches < 1 || schedule.slices < 1 || schedule.stages() < 1) {
    return violation(Invariant::completeness,
                     "{} stages, {} micro-batches and {} slices: each has to be 1 or more",
                     schedule.stages(), schedule.micro_batches, schedule.slices);
  }
  if (schedule.slices > std::numeric_limits<short>::max()) {
    return violation(Invariant::completeness, "{} slices of a micro-batch: at most {}",
                     schedule.slices, std::numeric_limits<short>::max());
  }
  const double units =
      static_cast<double>(schedule.stages()) * schedule.micro_batches * schedule.slices;
  const std::size_t forwards = count(schedule, is_forward);
  // Somewhat incomplete files get a sentence that names the unit; absurd ones are not indexed.
  if (units > 4.0 * static_cast<double>(forwards) + 1024.0) {
    return violation(Invariant::completeness,
                     "{} stages, {} micro-batches and {} slices need {:.0f} forwards, but the "
                     "programs have {}",
                     schedule.stages(), schedule.micro_batches, schedule.slices, units, forwards);
  }
  return std::nullopt;
}

Found completeness(const Subject& subject) {
  if (Found found = check_range(subject)) return found;
  if (Found found = check_directions(subject)) return found;
  if (Found found = check_repeated(subject)) return found;
  const Schedule& schedule = subject.schedule;
  for (int stage = 0; stage < schedule.stages(); ++stage) {
    for (int mb = 0; mb < schedule.micro_batches; ++mb) {
      const auto direction = static_cast<signed char>(std::max(0, subject.index.direction_of(mb)));
      for (int slice = 0; slice < schedule.slices; ++slice) {
        const UnitPlaces& places = subject.index.unit(stage, mb, slice, direction);
        const bool has_backward = places.input.exists() && places.weight.exists();
        if (places.forward.exists() && (has_backward || !subject.trains)) continue;
        return check_unit(subject, {.stage = stage,
                                    .micro_batch = mb,
                                    .slice = static_cast<short>(slice),
                                    .direction = direction});
      }
    }
  }
  return std::nullopt;
}

Found placement(const Subject& subject) {
  const Placement& placement = subject.schedule.placement;
  for (std::size_t rank = 0; rank < subject.schedule.programs.size(); ++rank) {
    const std::vector<Action>& program = subject.schedule.programs[rank];
    for (std::size_t i = 0; i < program.size(); ++i) {
      if (program[i].verb == Verb::fence) continue;
      const int owner = placement.rank_of(program[i].stage, program[i].direction);
      if (owner == static_cast<int>(rank)) continue;
      return violation(Invariant::placement,
                       "{}, but stage {} is on rank {} (placement {}): a stage has one rank",
                       describe(subject.schedule, {static_cast<int>(rank), static_cast<int>(i)}),
                       program[i].stage, owner, placement.describe());
    }
  }
  return std::nullopt;
}

}  // namespace collie::checks
