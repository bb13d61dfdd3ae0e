// Programs walked in order, for tests, with nothing of the validator or the simulator: a clock
// where messages take a constant time and no resource, and a walk where each directed pair of ranks
// holds a few messages at most.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "actors/schedule/schedule.hpp"

namespace collie {

// What an action works on: its own key, and those of what it needs.
struct WorkKey {
  char kind;  // 'F' or 'I' (also of B)
  int direction, stage, micro_batch, slice;
  auto operator<=>(const WorkKey&) const = default;
};

class InOrder {
 public:
  explicit InOrder(const Schedule& schedule)
      : schedule_(schedule), next_(schedule.programs.size(), 0) {}

 protected:
  // The next action of a rank, or the pair that runs side by side; empty at the end.
  std::span<const Action> next_group(std::size_t rank) const {
    const auto& program = schedule_.programs[rank];
    if (next_[rank] == program.size()) return {};
    std::size_t end = next_[rank];
    while (program[end].overlaps_next) ++end;
    return {&program[next_[rank]], end + 1 - next_[rank]};
  }
  static WorkKey key(char kind, const Action& action, int stages_on = 0, int slices_on = 0) {
    return {kind, action.direction, action.stage + stages_on, action.micro_batch,
            action.slice + slices_on};
  }
  // Made on the rank itself.
  std::vector<WorkKey> local_needs(const Action& action) const {
    std::vector<WorkKey> needs;
    const bool input = makes_input_gradient(action.verb);
    if (action.verb == Verb::forward && action.slice > 0) needs.push_back(key('F', action, 0, -1));
    if (input) needs.push_back(key('F', action));
    if (input && action.slice < schedule_.slices - 1) needs.push_back(key('I', action, 0, 1));
    if (action.verb == Verb::backward_weight) needs.push_back(key('I', action));
    return needs;
  }
  // Made by the stage before or behind: a message, if that is on another rank.
  std::vector<WorkKey> neighbour_needs(const Action& action) const {
    if (action.verb == Verb::forward && action.stage > 0) return {key('F', action, -1)};
    if (makes_input_gradient(action.verb) && action.stage < schedule_.stages() - 1) {
      return {key('I', action, 1)};
    }
    return {};
  }
  static char made_by(const Action& action) {
    if (action.verb == Verb::forward) return 'F';
    return makes_input_gradient(action.verb) ? 'I' : ' ';
  }
  int rank_of(const WorkKey& work) const {
    return schedule_.placement.rank_of(work.stage, work.direction);
  }

  const Schedule& schedule_;
  std::vector<std::size_t> next_;
};

struct ClockTimes {
  bool finished = false;
  double makespan = 0.0;
  double longest_span = 0.0;  // of a rank, from its first begin to its last end
};

// Every action as soon as its input is there and the actions before it are done. A pair side by
// side takes the sum of its times, and both results are there at its end.
class InOrderClock : InOrder {
 public:
  InOrderClock(const Schedule& schedule, double forward, double input, double weight,
               double message = 0.0)
      : InOrder(schedule), forward_(forward), input_(input), weight_(weight), message_(message) {}

  ClockTimes run() {
    std::vector<double> clocks(next_.size(), 0.0);
    std::vector<double> begins(next_.size(), -1.0);
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t rank = 0; rank < next_.size(); ++rank) {
        while (advance(rank, clocks[rank], begins[rank])) moved = true;
      }
    }
    ClockTimes times{.finished = true};
    for (std::size_t rank = 0; rank < next_.size(); ++rank) {
      times.finished &= next_[rank] == schedule_.programs[rank].size();
      times.makespan = std::max(times.makespan, clocks[rank]);
      times.longest_span = std::max(times.longest_span, clocks[rank] - begins[rank]);
    }
    return times;
  }

 private:
  bool advance(std::size_t rank, double& clock, double& begin) {
    const std::span<const Action> group = next_group(rank);
    if (group.empty()) return false;
    double start = clock;
    double takes = 0.0;
    for (const Action& action : group) {
      std::vector<WorkKey> needs = local_needs(action);
      for (const WorkKey& work : neighbour_needs(action)) needs.push_back(work);
      for (const WorkKey& work : needs) {
        const auto found = ends_.find(work);
        if (found == ends_.end()) return false;
        const bool is_message = rank_of(work) != static_cast<int>(rank);
        start = std::max(start, found->second + (is_message ? message_ : 0.0));
      }
      if (action.verb == Verb::forward) takes += forward_;
      if (makes_input_gradient(action.verb)) takes += input_;
      if (makes_weight_gradient(action.verb)) takes += weight_;
    }
    if (begin < 0.0) begin = start;
    clock = start + takes;
    for (const Action& action : group) ends_[key(made_by(action), action)] = clock;
    next_[rank] += group.size();
    return true;
  }

  double forward_, input_, weight_, message_;
  std::map<WorkKey, double> ends_;
};

// Each action is: receive its message, compute, send the result. A send waits while its directed
// pair of ranks holds `credit` messages that were sent and not received; a receive names its
// message.
class CreditWalk : InOrder {
 public:
  CreditWalk(const Schedule& schedule, int credit) : InOrder(schedule), credit_(credit) {
    unsent_.resize(next_.size());
  }

  // Whether all programs end.
  bool run() {
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t rank = 0; rank < next_.size(); ++rank) {
        while (send(rank) || perform(rank)) moved = true;
      }
    }
    for (std::size_t rank = 0; rank < next_.size(); ++rank) {
      if (next_[rank] < schedule_.programs[rank].size() || !unsent_[rank].empty()) return false;
    }
    return true;
  }

 private:
  struct Message {
    WorkKey work;
    int from, to;
  };

  bool send(std::size_t rank) {
    if (unsent_[rank].empty()) return false;
    const Message message = unsent_[rank].front();
    int& held = held_[{message.from, message.to}];
    if (held >= credit_) return false;
    ++held;
    sent_.insert(message.work);
    unsent_[rank].erase(unsent_[rank].begin());
    return true;
  }

  bool perform(std::size_t rank) {
    const std::span<const Action> group = next_group(rank);
    if (group.empty() || !unsent_[rank].empty()) return false;
    const int here = static_cast<int>(rank);
    std::vector<WorkKey> received;
    for (const Action& action : group) {
      for (const WorkKey& work : local_needs(action)) {
        if (!done_.contains(work) || rank_of(work) != here) return false;
      }
      for (const WorkKey& work : neighbour_needs(action)) {
        const bool is_message = rank_of(work) != here;
        if (!(is_message ? sent_ : done_).contains(work)) return false;
        if (is_message) received.push_back(work);
      }
    }
    for (const WorkKey& work : received) --held_[{rank_of(work), here}];
    for (const Action& action : group) finish(action, here);
    next_[rank] += group.size();
    return true;
  }

  void finish(const Action& action, int here) {
    const char kind = made_by(action);
    if (kind == ' ') return;
    done_.insert(key(kind, action));
    const int reader = action.stage + (kind == 'F' ? 1 : -1);
    if (reader < 0 || reader >= schedule_.stages()) return;
    const int there = schedule_.placement.rank_of(reader, action.direction);
    if (there == here) return;
    unsent_[static_cast<std::size_t>(here)].push_back({key(kind, action), here, there});
  }

  int credit_;
  std::set<WorkKey> done_, sent_;
  std::map<std::pair<int, int>, int> held_;
  std::vector<std::vector<Message>> unsent_;
};

// The least credit with which all programs end; above `most`: -1.
inline int least_credit(const Schedule& schedule, int most = 64) {
  for (int credit = 1; credit <= most; ++credit) {
    if (CreditWalk(schedule, credit).run()) return credit;
  }
  return -1;
}

}  // namespace collie
