// Changes of schedules that tests make: folding one with a stage a rank onto fewer ranks, and
// writing R, PREDICT and FENCE into programs.
#pragma once

#include <algorithm>
#include <set>
#include <tuple>

#include "actors/schedule/schedule.hpp"

namespace collie::testing {

// The programs of a schedule with one stage on each rank, merged onto the ranks of a placement that
// holds the same stages: in ticks, as soon as the input is there, backwards first and later stages
// before earlier ones. What a stage does keeps its order, and so every version that it reads.
class Folding {
 public:
  Folding(const Schedule& linear, Placement placement)
      : linear_(linear), next_(linear.programs.size(), 0) {
    folded_ = linear;
    folded_.placement = std::move(placement);
    folded_.programs.assign(static_cast<std::size_t>(folded_.ranks()), {});
    folded_.channel.credit = 16;
  }

  Schedule run() {
    for (bool moves = true; moves;) {
      std::vector<Action> made;
      for (int rank = 0; rank < folded_.ranks(); ++rank) move(rank, made);
      for (const Action& action : made) made_.insert(key(action.verb, action.stage, action));
      moves = !made.empty();
    }
    return folded_;
  }

 private:
  using Key = std::tuple<bool, int, int>;
  static Key key(Verb verb, int stage, const Action& action) {
    return {verb == Verb::forward, stage, action.micro_batch};
  }

  // Where the next F or B of a stage stands; what is before it (R, PREDICT) goes with it.
  std::size_t computed_at(int stage) const {
    const auto& program = linear_.programs[static_cast<std::size_t>(stage)];
    std::size_t at = next_[static_cast<std::size_t>(stage)];
    while (at < program.size() && !is_computed(program[at].verb)) ++at;
    return at;
  }

  bool is_ready(const Action& action) const {
    const int source = action.verb == Verb::forward ? action.stage - 1 : action.stage + 1;
    if (source < 0 || source == folded_.stages()) return true;
    return made_.contains(key(action.verb, source, action));
  }

  void move(int rank, std::vector<Action>& made) {
    for (const bool is_forward : {false, true}) {
      for (int stage = folded_.stages() - 1; stage >= 0; --stage) {
        const auto& program = linear_.programs[static_cast<std::size_t>(stage)];
        const std::size_t at = computed_at(stage);
        if (folded_.placement.rank_of(stage) != rank || at == program.size()) continue;
        if ((program[at].verb == Verb::forward) != is_forward || !is_ready(program[at])) continue;
        take(stage, at, rank);
        made.push_back(program[at]);
        return;
      }
    }
  }

  void take(int stage, std::size_t at, int rank) {
    const auto& program = linear_.programs[static_cast<std::size_t>(stage)];
    std::size_t& next = next_[static_cast<std::size_t>(stage)];
    auto& out = folded_.programs[static_cast<std::size_t>(rank)];
    for (; next <= at; ++next) out.push_back(program[next]);
    for (; next < program.size() && program[next].verb == Verb::step; ++next) {
      out.push_back(program[next]);
    }
  }

  const Schedule& linear_;
  Schedule folded_;
  std::vector<std::size_t> next_;  // by stage: position in its program
  std::set<Key> made_;
};

inline Schedule folded(const Schedule& linear, Placement placement) {
  return Folding(linear, std::move(placement)).run();
}

// Calls place(program, position) for every action and puts what it returns before that action.
template <class Place>
Schedule with_actions(Schedule schedule, Place&& place) {
  for (std::vector<Action>& program : schedule.programs) {
    std::vector<Action> out;
    for (std::size_t at = 0; at < program.size(); ++at) {
      for (const Action& added : place(program, at)) out.push_back(added);
      out.push_back(program[at]);
    }
    program = std::move(out);
  }
  return schedule;
}

// R of every unit: before its backward, or, of odd micro-batches, one F or B earlier where its own
// forward is not that one.
inline Schedule with_recompute(Schedule schedule) {
  return with_actions(std::move(schedule), [](const std::vector<Action>& program, std::size_t at) {
    std::vector<Action> added;
    for (std::size_t look = at; look < std::min(at + 2, program.size()); ++look) {
      const Action& back = program[look];
      if (!makes_input_gradient(back.verb)) continue;
      const bool moves =
          look > 0 && back.micro_batch % 2 == 1 && is_computed(program[look - 1].verb) &&
          !(program[look - 1].verb == Verb::forward && program[look - 1].stage == back.stage &&
            program[look - 1].micro_batch == back.micro_batch);
      if (moves == (look == at)) continue;
      Action r = back;
      r.verb = Verb::recompute;
      r.overlaps_next = false;
      added.push_back(r);
    }
    return added;
  });
}

inline std::size_t count_of(const Schedule& schedule, Verb verb) {
  std::size_t count = 0;
  for (const std::vector<Action>& program : schedule.programs) {
    count += static_cast<std::size_t>(std::ranges::count(program, verb, &Action::verb));
  }
  return count;
}

}  // namespace collie::testing
