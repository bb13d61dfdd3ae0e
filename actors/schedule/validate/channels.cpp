#include <algorithm>

#include "actors/schedule/lowering.hpp"
#include "actors/schedule/validate/checks.hpp"

namespace collie::checks {

namespace {

// Messages written in the file (those that lowering adds pair up by construction).
class Messages {
 public:
  explicit Messages(const Subject& subject)
      : subject_(subject),
        schedule_(subject.schedule),
        sends_(2 * subject.index.unit_count()),
        receives_(2 * subject.index.unit_count()) {}

  Found check() {
    if (Found found = collect()) return found;
    for (const std::vector<Action>& program : schedule_.programs) {
      for (const Action& action : program) {
        if (action.verb != Verb::forward && !makes_input_gradient(action.verb)) continue;
        if (Found found = check_reader(action)) return found;
      }
    }
    return std::nullopt;
  }

 private:
  static Action renamed(Action action, Verb verb, int stage) {
    action.verb = verb;
    action.stage = stage;
    return action;
  }

  bool crosses(int stage, int other, int direction) const {
    return schedule_.placement.rank_of(stage, direction) !=
           schedule_.placement.rank_of(other, direction);
  }

  // By the unit that made the message; gradients behind activations.
  std::size_t key(const Action& action) const {
    const ScheduleMessage message = message_of(action);
    return (message.is_gradient ? subject_.index.unit_count() : 0) +
           subject_.index.unit_key(renamed(action, action.verb, message.from_stage));
  }

  Found collect() {
    for (std::size_t rank = 0; rank < schedule_.programs.size(); ++rank) {
      for (std::size_t i = 0; i < schedule_.programs[rank].size(); ++i) {
        const Verb verb = schedule_.programs[rank][i].verb;
        if (!is_send(verb) && !is_receive(verb)) continue;
        if (Found found = add({static_cast<int>(rank), static_cast<int>(i)})) return found;
      }
    }
    return std::nullopt;
  }

  Found add(ActionPlace place) {
    const Action& action = at(schedule_, place);
    const ScheduleMessage message = message_of(action);
    const int other = is_send(action.verb) ? message.to_stage : message.from_stage;
    if (other < 0 || other >= schedule_.stages()) {
      return violation(Invariant::channels, "{}, but stage {} has no neighbour there: remove it",
                       describe(schedule_, place), action.stage);
    }
    if (!crosses(message.from_stage, message.to_stage, action.direction)) {
      return violation(Invariant::channels,
                       "{}, but stages {} and {} are both on rank {}, where nothing travels: "
                       "remove it",
                       describe(schedule_, place), message.from_stage, message.to_stage,
                       place.rank);
    }
    ActionPlace& slot = (is_send(action.verb) ? sends_ : receives_)[key(action)];
    if (slot.exists()) {
      return violation(Invariant::channels,
                       "{}, and so it did as action {}: a message travels once",
                       describe(schedule_, place), slot.position + 1);
    }
    slot = place;
    return std::nullopt;
  }

  Found check_reader(const Action& reader) const {
    const int source = source_stage(schedule_, reader);
    if (source < 0 || !crosses(reader.stage, source, reader.direction)) return std::nullopt;
    const bool is_forward = reader.verb == Verb::forward;
    const Action send =
        renamed(reader, is_forward ? Verb::send_activation : Verb::send_gradient, source);
    const Action receive = renamed(
        reader, is_forward ? Verb::receive_activation : Verb::receive_gradient, reader.stage);
    const int sender = schedule_.placement.rank_of(source, reader.direction);
    const int receiver = schedule_.placement.rank_of(reader.stage, reader.direction);
    if (!sends_[key(send)].exists()) {
      return violation(Invariant::channels, "rank {} reads {} in {}, but rank {} never does {}",
                       receiver, is_forward ? "an activation" : "a gradient", to_string(reader),
                       sender, to_string(send));
    }
    const ActionPlace taken = receives_[key(receive)];
    if (!taken.exists()) {
      return violation(Invariant::channels, "rank {} does {}, but rank {} never does {}", sender,
                       to_string(send), receiver, to_string(receive));
    }
    const UnitPlaces& places = subject_.index.unit(reader);
    const int position = (is_forward ? places.forward : places.input).position;
    if (taken.position < position) return std::nullopt;
    return violation(Invariant::channels, "{}, behind its reader {} (action {}): swap them",
                     describe(schedule_, taken), to_string(reader), position + 1);
  }

  const Subject& subject_;
  const Schedule& schedule_;
  std::vector<ActionPlace> sends_;
  std::vector<ActionPlace> receives_;
};

Found check_fences(const Schedule& schedule) {
  const auto fences = [&](std::size_t rank) {
    return std::ranges::count(schedule.programs[rank], Verb::fence, &Action::verb);
  };
  const auto expected = fences(0);
  for (std::size_t rank = 1; rank < schedule.programs.size(); ++rank) {
    const auto found = fences(rank);
    if (found == expected) continue;
    return violation(Invariant::channels,
                     "rank 0 has {} FENCE{} and rank {} has {}: a FENCE waits for all ranks, so "
                     "each has the same number",
                     expected, expected == 1 ? "" : "s", rank, found);
  }
  return std::nullopt;
}

Found check_reductions(const Schedule& lowered) {
  // With one holder a REDUCE_GRAD is for data-parallel replicas, which all run the same program.
  if (lowered.placement.directions() == 1) return std::nullopt;
  std::vector<int> counts(2 * static_cast<std::size_t>(lowered.stages()), 0);
  for (const std::vector<Action>& program : lowered.programs) {
    for (const Action& action : program) {
      if (action.verb != Verb::all_reduce) continue;
      ++counts[2 * static_cast<std::size_t>(action.stage) +
               static_cast<std::size_t>(action.direction)];
    }
  }
  for (int stage = 0; stage < lowered.stages(); ++stage) {
    const int down = counts[2 * static_cast<std::size_t>(stage)];
    const int up = counts[2 * static_cast<std::size_t>(stage) + 1];
    if (down == up) continue;
    return violation(Invariant::channels,
                     "rank {} does REDUCE_GRAD{} {} times and rank {}, which holds the same stage, "
                     "{} times: both have to take part",
                     lowered.placement.rank_of(stage, 0), stage, down,
                     lowered.placement.rank_of(stage, 1), up);
  }
  return std::nullopt;
}

}  // namespace

Found channels(const Subject& subject) {
  const bool has_messages =
      std::ranges::any_of(subject.schedule.programs, [](const std::vector<Action>& program) {
        return std::ranges::any_of(
            program, [](const Action& a) { return is_send(a.verb) || is_receive(a.verb); });
      });
  if (has_messages) {
    if (Found found = Messages(subject).check()) return found;
  }
  if (Found found = check_fences(subject.schedule)) return found;
  return check_reductions(subject.lowered);
}

}  // namespace collie::checks
