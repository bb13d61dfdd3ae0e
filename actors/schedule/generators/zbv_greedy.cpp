#include <algorithm>
#include <limits>
#include <optional>

#include "actors/schedule/generators/all.hpp"
#include "actors/schedule/generators/build.hpp"
#include "actors/schedule/generators/planning.hpp"

namespace collie {
namespace {

// The four things that a rank of a V does for a micro-batch on two stages, in the order in which
// they depend on each other. Down: the input comes from the rank before; up: from the one behind.
enum Leg { forward_down, forward_up, input_down, input_up };

struct ZbvChoices {
  bool fill_forward;  // a W longer than the wait goes before F ...
  bool fill_input;    // ... before I of the upper stage, where waiting makes a new longest bubble
};

// Greedy ZBV (Qi et al. 2024, section 6 and appendix; the order in which the ranks are visited is
// that of the authors' scheduler): rounds of one I and one F per rank, W where a rank would wait
// or has no memory left.
class ZbvPlanner {
 public:
  ZbvPlanner(const ScheduleOptions& options, double memory_cap, ZbvChoices choices)
      : options_(options),
        memory_cap_(rounded_up(memory_cap)),
        choices_(choices),
        ranks_(static_cast<std::size_t>(options.ranks)) {
    for (auto& ends : ends_) {
      ends.assign(ranks_.size() * static_cast<std::size_t>(options.micro_batches), -1.0);
    }
  }

  // Bubbles that an earlier plan had are granted again, relative to its longest one.
  bool plan(const std::vector<double>& granted) {
    granted_ = granted;
    longest_granted_ = granted.empty() ? 0.0 : *std::max_element(granted.begin(), granted.end());
    fill_first_legs();
    even_out();
    for (int round = 0; round < 2 * options_.micro_batches && feasible_; ++round) {
      plan_inputs();
      plan_forwards();
    }
    for (int rank = 0; rank < options_.ranks && feasible_; ++rank) {
      while (weights_wait(rank)) put_weight(rank);
    }
    return feasible_;
  }

  double longest_bubble() const { return longest_bubble_; }
  std::vector<double> bubbles() const {
    std::vector<double> bubbles;
    for (const Rank& rank : ranks_) bubbles.push_back(rank.bubble);
    return bubbles;
  }
  void move_programs_to(Schedule& schedule) {
    for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
      schedule.programs[rank] = std::move(ranks_[rank].program);
    }
  }

 private:
  struct Rank {
    int done[4] = {};  // of each leg
    double clock = 0.0;
    double memory = 0.0;
    double bubble = 0.0;               // idle since the first F
    std::vector<Action> waiting = {};  // W, in the order of their I
    std::size_t weights = 0;           // of these, done
    std::vector<Action> program = {};
  };

  Rank& at(int rank) { return ranks_[static_cast<std::size_t>(rank)]; }
  const Rank& at(int rank) const { return ranks_[static_cast<std::size_t>(rank)]; }
  bool weights_wait(int rank) const { return at(rank).weights < at(rank).waiting.size(); }
  double end(Leg leg, int rank, int micro_batch) const {
    return ends_[leg][key(rank, micro_batch)];
  }
  std::size_t key(int rank, int micro_batch) const {
    return static_cast<std::size_t>(rank) * static_cast<std::size_t>(options_.micro_batches) +
           static_cast<std::size_t>(micro_batch);
  }
  double kept() const { return options_.activation / 2.0; }

  static bool runs_down(Leg leg) { return leg == forward_down || leg == input_down; }
  // The rank that the input comes from; where the V starts or turns there is none.
  bool has_source(Leg leg, int rank) const {
    return runs_down(leg) ? rank > 0 : rank < options_.ranks - 1;
  }
  double source_end(Leg leg, int rank) const {
    return end(leg, runs_down(leg) ? rank - 1 : rank + 1, at(rank).done[leg]);
  }

  bool can_put(Leg leg, int index) const {
    const Rank& rank = at(index);
    if (rank.done[leg] >= options_.micro_batches) return false;
    if (leg <= forward_up && rank.memory + kept() > memory_cap_) return false;
    if (leg != forward_down && rank.done[leg] >= rank.done[leg - 1]) return false;
    return !has_source(leg, index) || source_end(leg, index) >= 0.0;
  }

  // What cannot be put, for memory or because its input is not planned, ends the attempt.
  void put(Leg leg, int index) {
    if (!feasible_ || !can_put(leg, index)) {
      feasible_ = false;
      return;
    }
    Rank& rank = at(index);
    const double arrival =
        has_source(leg, index) ? source_end(leg, index) + options_.communication : 0.0;
    const bool forward = leg <= forward_up;
    const double duration = forward ? options_.forward : options_.input;
    const double unhindered = rank.clock + duration;
    const double end = std::max(unhindered, arrival + duration);
    if (rank.done[forward_down] > 0) {
      rank.bubble += end - unhindered;
      longest_bubble_ = std::max(longest_bubble_, rank.bubble);
    }
    const bool first_stage = leg == forward_down || leg == input_up;
    const int stage = first_stage ? index : 2 * options_.ranks - 1 - index;
    const int micro_batch = rank.done[leg]++;
    ends_[leg][key(index, micro_batch)] = rank.clock = end;
    rank.memory += forward ? kept() : options_.weight_stash / 2.0 - kept();
    rank.program.push_back({forward ? Verb::forward : Verb::backward_input, stage, micro_batch});
    if (!forward) rank.waiting.push_back({Verb::backward_weight, stage, micro_batch});
  }

  void put_weight(int index) {
    Rank& rank = at(index);
    rank.clock += options_.weight;
    rank.memory -= options_.weight_stash / 2.0;
    rank.program.push_back(rank.waiting[rank.weights++]);
  }

  // First micro-batch down and up the V; while it is away, more of the first stage's F.
  void fill_first_legs() {
    for (int rank = 0; rank < options_.ranks; ++rank) put(forward_down, rank);
    for (int rank = options_.ranks - 1; rank >= 0 && feasible_; --rank) {
      if (has_source(forward_up, rank)) {
        const double arrival = source_end(forward_up, rank) + options_.communication;
        while (feasible_ && at(rank).memory + kept() * (2 + rank * 2) <= memory_cap_ &&
               at(rank).clock + options_.forward <= arrival &&
               at(rank).done[forward_down] < options_.micro_batches) {
          for (int before = 0; before <= rank; ++before) put(forward_down, before);
        }
      }
      put(forward_up, rank);
    }
  }

  // Both F in turn until no rank has done less than the rank before it.
  void even_out() {
    Leg leg = forward_down;
    for (int rank = 1; rank < options_.ranks; ++rank) {
      const Rank& own = at(rank);
      const Rank& before = at(rank - 1);
      const auto behind = [&] {
        return own.done[0] + own.done[1] < before.done[0] + before.done[1] ||
               (own.done[1] <= before.done[1] && before.done[1] < options_.micro_batches);
      };
      while (feasible_ && behind()) {
        for (int other = options_.ranks - 1; other >= rank; --other) {
          if (at(other).done[leg] < options_.micro_batches) put(leg, other);
        }
        leg = leg == forward_down ? forward_up : forward_down;
      }
    }
  }

  // The upper stage's I goes first while its lower twin is not there, else the one that is further.
  void plan_inputs() {
    down_.clear();
    up_.clear();
    for (int rank = 0; rank < options_.ranks; ++rank) {
      const int* done = at(rank).done;
      const bool up = done[input_up] < done[input_down] &&
                      (!has_source(input_up, rank) || source_end(input_up, rank) >= 0.0 ||
                       done[input_down] >= options_.micro_batches);
      (up ? up_ : down_).push_back(rank);
    }
    std::reverse(up_.begin(), up_.end());
    for (const int rank : up_) {
      fill_gap(input_up, rank, true);
      put(input_up, rank);
    }
    for (const int rank : down_) {
      fill_gap(input_down, rank, choices_.fill_input);
      put(input_down, rank);
    }
  }

  std::optional<Leg> next_forward(int rank) const {
    const int* done = at(rank).done;
    if (done[forward_up] >= options_.micro_batches) return std::nullopt;
    if (done[forward_up] >= done[forward_down]) return forward_down;
    if (!has_source(forward_up, rank) || source_end(forward_up, rank) >= 0.0) return forward_up;
    if (done[forward_down] >= options_.micro_batches) return std::nullopt;
    if (!has_source(forward_down, rank) || source_end(forward_down, rank) >= 0.0) {
      return forward_down;
    }
    return std::nullopt;
  }

  void plan_forwards() {
    for (int rank = 0; rank < options_.ranks && feasible_; ++rank) {
      const std::optional<Leg> leg = next_forward(rank);
      if (!leg) continue;
      while (at(rank).memory + kept() > memory_cap_ && weights_wait(rank)) put_weight(rank);
      fill_gap(*leg, rank, choices_.fill_forward);
      put(*leg, rank);
    }
  }

  // W while they end before the input arrives; one more, if wanted, where waiting would make a new
  // longest bubble.
  void fill_gap(Leg leg, int index, bool over_full) {
    if (!feasible_ || !has_source(leg, index)) return;
    const double arrival = source_end(leg, index) + options_.communication;
    const Rank& rank = at(index);
    while (weights_wait(index) && arrival >= rank.clock + options_.weight) put_weight(index);
    if (!weights_wait(index) || !over_full) return;
    const double granted = granted_.empty() ? 0.0 : granted_[static_cast<std::size_t>(index)];
    const double longest = std::max(longest_bubble_, longest_granted_ - granted);
    if (arrival - rank.clock > longest - rank.bubble) put_weight(index);
  }

  const ScheduleOptions& options_;
  double memory_cap_;
  ZbvChoices choices_;
  std::vector<Rank> ranks_;
  std::vector<double> ends_[4];  // [leg][rank][micro-batch]; -1: not planned yet
  std::vector<double> granted_;
  double longest_granted_ = 0.0;
  double longest_bubble_ = 0.0;
  std::vector<int> down_, up_;
  bool feasible_ = true;
};

struct Plan {
  Schedule schedule;
  double longest_bubble = std::numeric_limits<double>::infinity();
};

// Plans again, with the last plan's bubbles granted, while that makes the longest one shorter.
void improve(Plan& best, const ScheduleOptions& options, double memory_cap, ZbvChoices choices) {
  std::vector<double> granted;
  double shortest = std::numeric_limits<double>::infinity();
  while (true) {
    ZbvPlanner planner(options, memory_cap, choices);
    if (!planner.plan(granted) || planner.longest_bubble() >= shortest) return;
    shortest = planner.longest_bubble();
    granted = planner.bubbles();
    if (shortest >= best.longest_bubble) continue;
    best.longest_bubble = shortest;
    planner.move_programs_to(best.schedule);
  }
}

}  // namespace

Result<Schedule> zbv_greedy(const ScheduleOptions& options) {
  COLLIE_TRY_VOID(check_planning_options("zbv-greedy", options));
  const double usual = options.ranks * options.activation;
  const double cap = options.memory_cap > 0.0 ? options.memory_cap : usual;
  Plan best{empty_schedule("zbv-greedy", Placement::wave(options.ranks, 2), options.micro_batches)};
  for (const bool fill_input : {true, false}) {
    for (const bool fill_forward : {true, false}) {
      improve(best, options, cap, {fill_forward, fill_input});
    }
  }
  if (best.schedule.programs.front().empty()) {
    return make_error(
        ErrorCode::invalid_config,
        "schedule zbv-greedy: memory_cap {} is too small for its warm-up; {} is always enough, "
        "and v-half and v-min hold less",
        cap, usual);
  }
  return with_steps(std::move(best.schedule));
}

}  // namespace collie
