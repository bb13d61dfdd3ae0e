#include "actors/schedule/lowering.hpp"

#include <algorithm>

namespace collie {

namespace {

bool contains(const Schedule& schedule, bool (*wanted)(Verb)) {
  return std::ranges::any_of(schedule.programs, [&](const std::vector<Action>& program) {
    return std::ranges::any_of(program, [&](const Action& a) { return wanted(a.verb); });
  });
}

bool is_message(Verb verb) {
  return is_send(verb) || is_receive(verb);
}

bool is_reduction(Verb verb) {
  return verb == Verb::all_reduce;
}

// Writes one rank's lowered program.
class Lowering {
 public:
  Lowering(const Schedule& schedule, bool adds_messages, bool adds_reductions)
      : schedule_(schedule), adds_messages_(adds_messages), adds_reductions_(adds_reductions) {}

  std::vector<Action> lower(const std::vector<Action>& program) {
    std::vector<Action> out;
    out.reserve(adds_messages_ ? 3 * program.size() + 1 : program.size());
    for (std::size_t begin = 0; begin < program.size();) {
      std::size_t end = begin + 1;
      while (end < program.size() && program[end - 1].overlaps_next) ++end;
      if (program[begin].verb == Verb::step && end == begin + 1) {
        while (end < program.size() && program[end].verb == Verb::step) ++end;
        add_reductions(program, begin, end, out);
      }
      for (std::size_t i = begin; i < end; ++i) add_receive(program[i], out);
      out.insert(out.end(), program.begin() + static_cast<std::ptrdiff_t>(begin),
                 program.begin() + static_cast<std::ptrdiff_t>(end));
      for (std::size_t i = begin; i < end; ++i) add_send(program[i], out);
      begin = end;
    }
    return out;
  }

 private:
  bool crosses(const Action& action, int other_stage) const {
    return other_stage >= 0 && other_stage < schedule_.stages() &&
           schedule_.placement.rank_of(action.stage, action.direction) !=
               schedule_.placement.rank_of(other_stage, action.direction);
  }

  static Action with(Action action, Verb verb) {
    action.verb = verb;
    action.overlaps_next = false;
    return action;
  }

  void add_receive(const Action& action, std::vector<Action>& out) const {
    if (!adds_messages_ || !crosses(action, source_stage(schedule_, action))) return;
    const bool is_forward = action.verb == Verb::forward;
    out.push_back(with(action, is_forward ? Verb::receive_activation : Verb::receive_gradient));
  }

  void add_send(const Action& action, std::vector<Action>& out) const {
    if (!adds_messages_) return;
    if (action.verb == Verb::forward && crosses(action, action.stage + 1)) {
      out.push_back(with(action, Verb::send_activation));
    }
    if (makes_input_gradient(action.verb) && crosses(action, action.stage - 1)) {
      out.push_back(with(action, Verb::send_gradient));
    }
  }

  void add_reductions(const std::vector<Action>& program, std::size_t begin, std::size_t end,
                      std::vector<Action>& out) const {
    if (!adds_reductions_ || schedule_.placement.directions() == 1) return;
    const auto first_added = static_cast<std::ptrdiff_t>(out.size());
    for (std::size_t i = begin; i < end; ++i) {
      const int stage = program[i].stage;
      const Placement& placement = schedule_.placement;
      if (placement.rank_of(stage, 0) == placement.rank_of(stage, 1)) continue;
      out.push_back(with(program[i], Verb::all_reduce));
    }
    std::stable_sort(out.begin() + first_added, out.end(),
                     [](const Action& a, const Action& b) { return a.stage < b.stage; });
  }

  const Schedule& schedule_;
  bool adds_messages_;
  bool adds_reductions_;
};

}  // namespace

bool is_send(Verb verb) {
  return verb == Verb::send_activation || verb == Verb::send_gradient;
}

bool is_receive(Verb verb) {
  return verb == Verb::receive_activation || verb == Verb::receive_gradient;
}

ScheduleMessage message_of(const Action& action) {
  const int stage = action.stage;
  switch (action.verb) {
    case Verb::send_activation:
      return {false, stage, stage + 1};
    case Verb::receive_activation:
      return {false, stage - 1, stage};
    case Verb::send_gradient:
      return {true, stage, stage - 1};
    default:
      return {true, stage + 1, stage};
  }
}

int source_stage(const Schedule& schedule, const Action& action) {
  if (action.verb == Verb::forward) return action.stage - 1;
  if (!makes_input_gradient(action.verb) || action.stage + 1 >= schedule.stages()) return -1;
  return action.stage + 1;
}

Schedule lower(const Schedule& schedule) {
  Schedule lowered = {.name = schedule.name,
                      .placement = schedule.placement,
                      .micro_batches = schedule.micro_batches,
                      .slices = schedule.slices,
                      .channel = schedule.channel,
                      .versions = schedule.versions,
                      .contract = schedule.contract};
  Lowering lowering(schedule, !contains(schedule, is_message), !contains(schedule, is_reduction));
  lowered.programs.reserve(schedule.programs.size());
  for (const std::vector<Action>& program : schedule.programs) {
    lowered.programs.push_back(lowering.lower(program));
  }
  return lowered;
}

std::string print_programs(const Schedule& schedule) {
  std::string text;
  for (std::size_t rank = 0; rank < schedule.programs.size(); ++rank) {
    text += fmt::format("rank {}:", rank);
    for (const Action& action : schedule.programs[rank])
      text += fmt::format(" {}", to_string(action));
    text += '\n';
  }
  return text;
}

}  // namespace collie
