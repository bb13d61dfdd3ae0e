// A small clock for schedules, for tests: every rank does its program in order, each action as soon
// as its input is there; messages take a constant time and no resource. Independent of simulate().
#pragma once

#include <algorithm>
#include <vector>

#include "actors/schedule/generators.hpp"

namespace collie {

struct ListTimes {
  double makespan = 0.0;
  double longest_span = 0.0;  // of a rank, from its first action's begin to its last one's end
  bool complete = false;      // false: deadlock
};

class ListScheduler {
 public:
  // Times of one chunk are the options'; B takes those of I and W.
  ListScheduler(const Schedule& schedule, const GeneratorOptions& options)
      : schedule_(schedule), options_(options) {
    const auto units = static_cast<std::size_t>(schedule.stages() * schedule.micro_batches);
    forward_ends_.assign(units, -1.0);
    input_ends_.assign(units, -1.0);
    ranks_.resize(schedule.programs.size());
  }

  ListTimes run() {
    ListTimes times;
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
        while (ranks_[rank].next < schedule_.programs[rank].size() && advance(rank)) moved = true;
      }
    }
    times.complete = true;
    for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
      times.makespan = std::max(times.makespan, ranks_[rank].clock);
      times.longest_span = std::max(times.longest_span, ranks_[rank].clock - ranks_[rank].begin);
      times.complete &= ranks_[rank].next == schedule_.programs[rank].size();
    }
    return times;
  }

 private:
  struct Rank {
    std::size_t next = 0;
    double clock = 0.0;
    double begin = -1.0;
  };

  std::size_t key(int stage, int micro_batch) const {
    return static_cast<std::size_t>(stage * schedule_.micro_batches + micro_batch);
  }

  // When a value is there for a rank; negative: not made yet.
  double arrival(const std::vector<double>& ends, int stage, int micro_batch,
                 std::size_t rank) const {
    const double end = ends[key(stage, micro_batch)];
    const bool local = schedule_.placement.rank_of(stage) == static_cast<int>(rank);
    return end < 0.0 || local ? end : end + options_.communication;
  }

  // The later of what an action needs; negative: not all made yet; 0: nothing.
  double ready(const Action& action, std::size_t rank) const {
    const int mb = action.micro_batch;
    switch (action.verb) {
      case Verb::forward:
        return action.stage == 0 ? 0.0 : arrival(forward_ends_, action.stage - 1, mb, rank);
      case Verb::backward_weight:
        return arrival(input_ends_, action.stage, mb, rank);
      case Verb::backward_input:
      case Verb::backward: {
        const double own = arrival(forward_ends_, action.stage, mb, rank);
        if (action.stage == schedule_.stages() - 1 || own < 0.0) return own;
        const double gradient = arrival(input_ends_, action.stage + 1, mb, rank);
        return gradient < 0.0 ? gradient : std::max(own, gradient);
      }
      default:
        return 0.0;
    }
  }

  double duration(Verb verb) const {
    if (verb == Verb::forward) return options_.forward;
    if (verb == Verb::backward_input) return options_.input;
    if (verb == Verb::backward_weight) return options_.weight;
    return verb == Verb::backward ? options_.input + options_.weight : 0.0;
  }

  bool advance(std::size_t index) {
    Rank& rank = ranks_[index];
    const Action& action = schedule_.programs[index][rank.next];
    const double from = ready(action, index);
    if (from < 0.0) return false;
    const double begin = std::max(rank.clock, from);
    if (rank.begin < 0.0) rank.begin = begin;
    rank.clock = begin + duration(action.verb);
    ++rank.next;
    const std::size_t unit = action.verb == Verb::step ? 0 : key(action.stage, action.micro_batch);
    if (action.verb == Verb::forward) forward_ends_[unit] = rank.clock;
    if (makes_input_gradient(action.verb)) input_ends_[unit] = rank.clock;
    return true;
  }

  const Schedule& schedule_;
  const GeneratorOptions& options_;
  std::vector<double> forward_ends_, input_ends_;  // [stage][micro-batch]
  std::vector<Rank> ranks_;
};

inline ListTimes list_schedule(const Schedule& schedule, const GeneratorOptions& options) {
  return ListScheduler(schedule, options).run();
}

}  // namespace collie
