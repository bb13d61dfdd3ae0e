#include <algorithm>
#include <limits>

#include "actors/schedule/generators/all.hpp"
#include "actors/schedule/generators/build.hpp"
#include "actors/schedule/generators/planning.hpp"

namespace collie {
namespace {

// The grid of section 3.1 of the paper: each way is tried both ways, the cheapest order is kept.
struct GapChoices {
  bool overrun_warm_up;  // a last warm-up F may end after the first backward could have begun
  bool backward_early;   // F is put off where it would delay the next rank's backward
  bool fill_small_gaps;  // a W longer than the gap goes in even where it does not pay
};

// Qi et al., "Zero Bubble Pipeline Parallelism", ICLR 2024, section 3.1: all ranks at once take one
// F and one I per round, each rank fills with W what it would wait, or when memory is short.
class ZeroBubblePlanner {
 public:
  ZeroBubblePlanner(const ScheduleOptions& options, double memory_cap, GapChoices choices)
      : options_(options),
        memory_cap_(rounded_up(memory_cap)),
        choices_(choices),
        ranks_(static_cast<std::size_t>(options.ranks)),
        forward_ends_(ranks_.size() * static_cast<std::size_t>(options.micro_batches), -1.0),
        input_ends_(forward_ends_) {
    for (Rank& rank : ranks_) {
      rank.program.reserve(3 * static_cast<std::size_t>(options.micro_batches) + 1);
    }
  }

  void plan() {
    warm_up();
    for (int round = 1; round < options_.micro_batches; ++round) plan_round();
    for (int rank = 0; rank < options_.ranks; ++rank) {
      while (weights_wait(rank)) put_weight(rank);
    }
  }

  // The longest time of any rank from its first F to its last W.
  double cost() const {
    double longest = 0.0;
    for (int rank = 0; rank < options_.ranks; ++rank) {
      const double begin = forward_ends_[key(rank, 0)] - options_.forward;
      longest = std::max(longest, at(rank).clock - begin);
    }
    return longest;
  }

  void move_programs_to(Schedule& schedule) {
    for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
      schedule.programs[rank] = std::move(ranks_[rank].program);
    }
  }

 private:
  struct Rank {
    int forwards = 0, inputs = 0, weights = 0;  // done
    double clock = 0.0;
    double memory = 0.0;
    double bubble = 0.0;  // idle since the first F
    std::vector<Action> program = {};
  };

  Rank& at(int rank) { return ranks_[static_cast<std::size_t>(rank)]; }
  const Rank& at(int rank) const { return ranks_[static_cast<std::size_t>(rank)]; }
  std::size_t key(int rank, int micro_batch) const {
    return static_cast<std::size_t>(rank) * static_cast<std::size_t>(options_.micro_batches) +
           static_cast<std::size_t>(micro_batch);
  }
  bool weights_wait(int rank) const { return at(rank).weights < at(rank).inputs; }
  bool is_last(int rank) const { return rank == options_.ranks - 1; }

  // When the input of the rank's next F (I) is there; 0 where it comes from no other rank.
  double forward_arrival(int rank) const {
    if (rank == 0) return 0.0;
    const double end = forward_ends_[key(rank - 1, at(rank).forwards)];
    COLLIE_CHECK(end >= 0.0, "F of rank {} before its input was planned", rank);
    return end + options_.communication;
  }
  double input_arrival(int rank) const {
    if (is_last(rank)) return 0.0;
    const double end = input_ends_[key(rank + 1, at(rank).inputs)];
    COLLIE_CHECK(end >= 0.0, "I of rank {} before its gradient was planned", rank);
    return end + options_.communication;
  }

  // Runs an action when the rank is free and its input is there; the wait counts as bubble.
  double run(Rank& rank, double arrival, double duration) {
    const double unhindered = rank.clock + duration;
    const double end = std::max(unhindered, arrival + duration);
    if (rank.forwards > 0) {
      rank.bubble += end - unhindered;
      longest_bubble_ = std::max(longest_bubble_, rank.bubble);
    }
    return rank.clock = end;
  }

  void put_forward(int index) {
    Rank& rank = at(index);
    const double arrival = forward_arrival(index);
    forward_ends_[key(index, rank.forwards)] = run(rank, arrival, options_.forward);
    rank.memory += options_.activation;
    rank.program.push_back({Verb::forward, index, rank.forwards++});
  }
  void put_input(int index) {
    Rank& rank = at(index);
    COLLIE_CHECK(rank.inputs < rank.forwards, "I of rank {} before its F", index);
    const double arrival = input_arrival(index);
    input_ends_[key(index, rank.inputs)] = run(rank, arrival, options_.input);
    rank.memory -= options_.activation - options_.weight_stash;
    rank.program.push_back({Verb::backward_input, index, rank.inputs++});
  }
  void put_weight(int index) {
    Rank& rank = at(index);
    rank.clock += options_.weight;
    rank.memory -= options_.weight_stash;
    rank.program.push_back({Verb::backward_weight, index, rank.weights++});
  }

  // How many F each rank can do, after its first, until its first gradient can be there.
  std::vector<int> warm_up_counts() const {
    std::vector<int> counts(ranks_.size(), 0);
    double gradient = at(options_.ranks - 1).clock + options_.input;  // made by the rank behind
    for (int index = options_.ranks - 2; index >= 0; --index) {
      const Rank& rank = at(index);
      int& count = counts[static_cast<std::size_t>(index)];
      double clock = rank.clock;
      double memory = rank.memory;
      const double arrival = gradient + options_.communication;
      while (rank.forwards + count < options_.micro_batches &&
             memory + options_.activation <= memory_cap_) {
        if (choices_.overrun_warm_up ? clock >= arrival : clock + options_.forward > arrival) break;
        memory += options_.activation;
        clock += options_.forward;
        ++count;
      }
      gradient = std::max(clock, arrival) + options_.input;
    }
    return counts;
  }

  // The first F everywhere, as many more as pay, each rank fewer than the one before it, first I.
  void warm_up() {
    for (int rank = 0; rank < options_.ranks; ++rank) put_forward(rank);
    std::vector<int> counts = warm_up_counts();
    for (std::size_t rank = 1; rank < ranks_.size(); ++rank) {
      const bool all = 1 + counts[rank] >= options_.micro_batches;
      if (!all) counts[rank] = std::min(counts[rank], std::max(0, counts[rank - 1] - 1));
    }
    for (int rank = 0; rank < options_.ranks; ++rank) {
      for (int n = 0; n < counts[static_cast<std::size_t>(rank)]; ++n) put_forward(rank);
    }
    for (int rank = options_.ranks - 1; rank >= 0; --rank) put_input(rank);
  }

  void plan_round() {
    std::vector<char>& forward = forward_now_;
    forward.assign(ranks_.size(), 0);
    for (int rank = 0; rank < options_.ranks; ++rank) {
      forward[static_cast<std::size_t>(rank)] = wants_forward(rank);
    }
    for (std::size_t rank = ranks_.size() - 1; rank-- > 0;) forward[rank] &= forward[rank + 1];
    for (int rank = 0; rank < options_.ranks; ++rank) {
      if (!forward[static_cast<std::size_t>(rank)]) continue;
      while (at(rank).memory + options_.activation > memory_cap_) {
        COLLIE_CHECK(weights_wait(rank), "rank {} holds more than its warm-up did", rank);
        put_weight(rank);
      }
      if (rank > 0) fill_gap(rank, forward_arrival(rank));
      put_forward(rank);
    }
    for (int rank = options_.ranks - 1; rank >= 0; --rank) {
      if (!is_last(rank)) fill_gap(rank, input_arrival(rank));
      if (rank == 0 && at(rank).forwards == options_.micro_batches) {
        while (weights_wait(rank)) put_weight(rank);
      }
      put_input(rank);
    }
  }

  // Whether this round's F would not make the rank late for the backward of the rank behind it.
  bool wants_forward(int index) const {
    const Rank& rank = at(index);
    if (rank.forwards >= options_.micro_batches) return false;
    if (!choices_.backward_early || is_last(index)) return true;
    const Rank& next = at(index + 1);
    if (rank.forwards < next.forwards + 2) return true;
    const double gradient = next.clock + options_.forward + options_.input + options_.communication;
    if (rank.clock >= gradient) return false;
    double weight_time = 0.0;  // of the W that must go first to make room
    double memory = rank.memory + options_.activation;
    for (int weights = rank.weights; memory > memory_cap_ && weights < rank.inputs; ++weights) {
      weight_time += options_.weight;
      memory -= options_.weight_stash;
    }
    if (rank.clock + options_.forward + weight_time <= gradient) return true;
    return gradient - rank.clock > longest_bubble_ - rank.bubble;
  }

  // W while they end before the arrival; one more where waiting would make a new longest bubble.
  void fill_gap(int index, double arrival) {
    const Rank& rank = at(index);
    while (weights_wait(index) && rank.clock + options_.weight <= arrival) put_weight(index);
    if (!weights_wait(index) || rank.clock >= arrival) return;
    const bool harmless = arrival - rank.clock <= longest_bubble_ - rank.bubble;
    if (!harmless || choices_.fill_small_gaps) put_weight(index);
  }

  const ScheduleOptions& options_;
  double memory_cap_;
  GapChoices choices_;
  std::vector<Rank> ranks_;
  std::vector<double> forward_ends_, input_ends_;  // [rank][micro-batch]
  std::vector<char> forward_now_;
  double longest_bubble_ = 0.0;
};

Result<Schedule> planned(std::string_view name, const ScheduleOptions& options, double memory_cap) {
  if (rounded_up(memory_cap) < options.activation) {
    return make_error(ErrorCode::invalid_config,
                      "schedule {}: memory_cap {} holds no micro-batch; one F keeps {} bytes", name,
                      memory_cap, options.activation);
  }
  Schedule schedule = empty_schedule(name, Placement::linear(options.ranks), options.micro_batches);
  double best = std::numeric_limits<double>::infinity();
  for (const bool overrun : {false, true}) {
    for (const bool backward_early : {true, false}) {
      for (const bool fill : {true, false}) {
        ZeroBubblePlanner planner(options, memory_cap, {overrun, backward_early, fill});
        planner.plan();
        if (planner.cost() >= best) continue;
        best = planner.cost();
        planner.move_programs_to(schedule);
      }
    }
  }
  return with_steps(std::move(schedule));
}

// The cap is part of the name; a smaller one that was asked for is another schedule.
Result<Schedule> with_own_cap(std::string_view name, const ScheduleOptions& options,
                              double micro_batches) {
  COLLIE_TRY_VOID(check_planning_options(name, options));
  const double cap = micro_batches * options.activation;
  if (options.memory_cap > 0.0 && rounded_up(options.memory_cap) < cap) {
    return make_error(
        ErrorCode::invalid_config,
        "schedule {}: it may hold {} micro-batches, {} bytes, and memory_cap is {}; zb-auto "
        "plans for any cap",
        name, micro_batches, cap, options.memory_cap);
  }
  return planned(name, options, cap);
}

}  // namespace

Result<Schedule> zb_auto(const ScheduleOptions& options) {
  COLLIE_TRY_VOID(check_planning_options("zb-auto", options));
  const double usual = options.ranks * options.activation;
  return planned("zb-auto", options, options.memory_cap > 0.0 ? options.memory_cap : usual);
}

Result<Schedule> zb_1p(const ScheduleOptions& options) {
  return with_own_cap("zb-1p", options, options.ranks);
}

Result<Schedule> zb_2p(const ScheduleOptions& options) {
  return with_own_cap("zb-2p", options, 2.0 * options.ranks);
}

}  // namespace collie
