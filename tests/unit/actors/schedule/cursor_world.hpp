// The runtime's own ProgramCursors, one per rank, on a clock that a test turns: what simulate()
// must agree with. Messages are empty; only who may start when is played.
#pragma once

#include <map>

#include "actors/protocol/program_cursor.hpp"
#include "actors/schedule/simulate.hpp"

namespace collie {

class CursorWorld {
 public:
  CursorWorld(const Schedule& schedule, const CostModel& costs)
      : schedule_(schedule), costs_(costs) {
    for (int rank = 0; rank < schedule.ranks(); ++rank) add_rank(rank);
  }

  // What each rank did, in that order.
  const std::vector<std::vector<Action>>& order() const { return order_; }

  // Begin and end of every F, I, W and B of each rank, in the order in which they began.
  std::vector<std::vector<std::pair<double, double>>> run() {
    start_all();
    while (!events_.empty()) {
      now_ = events_.begin()->first;
      while (!events_.empty() && events_.begin()->first == now_) {
        const Event event = events_.begin()->second;
        events_.erase(events_.begin());
        happen(event);
      }
      start_all();
    }
    return times_;
  }

 private:
  struct Event {
    int rank = 0;
    bool is_arrival = false;  // of a message; else the end of `action`
    Action action;
  };
  struct RankState {
    std::vector<HostedStage> hosted;
    std::vector<Inbox> inboxes;
    std::optional<ProgramCursor> cursor;
    bool is_running = false;
  };

  RankState& rank_at(int rank) { return ranks_[static_cast<std::size_t>(rank)]; }

  void add_rank(int rank) {
    RankState state;
    const int last = schedule_.stages() - 1;
    const auto is_here = [&](int stage) {
      return stage >= 0 && stage <= last && schedule_.placement.rank_of(stage) == rank;
    };
    for (int stage = 0; stage <= last; ++stage) {
      if (!is_here(stage)) continue;
      state.hosted.push_back({.stage = stage,
                              .is_first = stage == 0,
                              .is_last = stage == last,
                              .previous_is_here = is_here(stage - 1),
                              .next_is_here = is_here(stage + 1)});
      Inbox inbox(1, 0);
      inbox.begin_round(1);
      for (int mb = 0; mb < schedule_.micro_batches; ++mb) inbox.accept(Tokens{stamp(mb), {}});
      state.inboxes.push_back(std::move(inbox));
    }
    state.cursor.emplace(state.hosted, schedule_.ranks(),
                         schedule_.programs[static_cast<std::size_t>(rank)],
                         schedule_.channel.credit, false, schedule_.policy);
    state.cursor->begin_round(Mode::train, 1, schedule_.micro_batches);
    ranks_.push_back(std::move(state));
    times_.emplace_back();
    order_.emplace_back();
  }

  static Stamp stamp(int micro_batch) { return {1, 0, 1, static_cast<std::uint32_t>(micro_batch)}; }

  // A credit that one start gives may let another start at the same instant.
  void start_all() {
    for (bool progress = true; progress;) {
      progress = false;
      for (int rank = 0; rank < schedule_.ranks(); ++rank) progress |= start_one(rank);
    }
  }

  bool start_one(int rank) {
    RankState& state = rank_at(rank);
    if (state.is_running) return false;
    const std::optional<Action> action = state.cursor->startable(state.inboxes);
    if (!action) return false;
    Inbox& inbox = state.inboxes[state.cursor->hosted_index(*action)];
    const auto mb = static_cast<std::uint32_t>(action->micro_batch);
    if (action->verb == Verb::forward) inbox.take(tokens_key(1, mb));
    if (state.cursor->takes_activation(*action)) {
      inbox.take(activation_key(1, mb));
      give_credit(action->stage - 1, rank, Link::activation);
    }
    if (state.cursor->takes_gradient(*action)) {
      inbox.take(gradient_key(1, mb));
      give_credit(action->stage + 1, rank, Link::gradient);
    }
    state.cursor->started(*action);
    state.is_running = true;
    const double end = now_ + seconds(*action);
    times_[static_cast<std::size_t>(rank)].emplace_back(now_, end);
    order_[static_cast<std::size_t>(rank)].push_back(*action);
    events_.emplace(end, Event{rank, false, *action});
    return true;
  }

  void give_credit(int stage, int taker, Link link) {
    const int rank = schedule_.placement.rank_of(stage);
    if (rank == taker) return;
    RankState& sender = rank_at(rank);
    sender.cursor->give_credit(sender.cursor->hosted_index({.stage = stage}), link);
  }

  double seconds(const Action& action) const {
    const StageCosts& costs = costs_.stage(action.stage);
    if (action.verb == Verb::forward) return costs.forward;
    if (action.verb == Verb::backward_input) return costs.input;
    if (action.verb == Verb::backward_weight) return costs.weight;
    return costs.input + costs.weight;
  }

  void happen(const Event& event) {
    const Action& action = event.action;
    const int neighbour = action.verb == Verb::forward ? action.stage + 1 : action.stage - 1;
    if (event.is_arrival) {
      RankState& state = rank_at(event.rank);
      Inbox& inbox = state.inboxes[state.cursor->hosted_index({.stage = neighbour})];
      if (action.verb == Verb::forward) inbox.accept(Activation{stamp(action.micro_batch), {}});
      if (action.verb != Verb::forward) inbox.accept(Gradient{stamp(action.micro_batch), {}});
      return;
    }
    RankState& state = rank_at(event.rank);
    state.is_running = false;
    if (!state.cursor->sends_activation(action) && !state.cursor->sends_gradient(action)) return;
    const int target = schedule_.placement.rank_of(neighbour);
    if (target == event.rank) {
      happen({target, true, action});
    } else {
      events_.emplace(now_ + costs_.latency, Event{target, true, action});
    }
  }

  const Schedule& schedule_;
  const CostModel& costs_;
  std::vector<RankState> ranks_;
  std::multimap<double, Event> events_;
  double now_ = 0.0;
  std::vector<std::vector<std::pair<double, double>>> times_;
  std::vector<std::vector<Action>> order_;
};

}  // namespace collie
