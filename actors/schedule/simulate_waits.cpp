// What a rank's next action waits for: its input, the credit of its output's link, a barrier.
#include <algorithm>

#include "actors/schedule/simulate_engine.hpp"

namespace collie {

bool SimulationEngine::consider_input(ActionPlace at, const Action& action, int step,
                                      Start& start) {
  const ActionPlace input = wiring_.input_of(action);
  if (!input.exists() || input.rank == at.rank) return true;
  const ActionPlace maker = repeated_place(wiring_.schedule(), input, step);
  double ready = arrival(maker);
  if (ready < 0.0) return false;
  if (is_rendezvous_) {
    const double both = std::max(ready, rank_at(at.rank).free_at);
    ready = both + pricer_.message_seconds(wiring_.action(input).stage);
  }
  if (ready > start.begin) start = {ready, timed(maker).end, IdleCause::dependency, maker};
  return true;
}

bool SimulationEngine::consider_credit(const Action& action, Start& start) {
  const int number = is_rendezvous_ ? -1 : wiring_.outbound_link(action);
  if (number < 0) return true;
  const Link& link = links_[static_cast<std::size_t>(number)];
  const std::int64_t credit = wiring_.schedule().channel.credit;
  if (!link.is_bounded || link.sent < credit) return true;
  if (link.sent - link.taken >= credit) return false;
  const Take& take = link.last_takes[static_cast<std::size_t>((link.sent - credit) % credit)];
  if (take.time > start.begin) start = {take.time, take.time, IdleCause::credit, take.reader};
  return true;
}

bool SimulationEngine::consider_barrier(ActionPlace at, const Action& action, Start& start) {
  const int wanted = wiring_.barrier_ranks(action);
  if (wanted == 1) return true;
  Rank& state = rank_at(at.rank);
  if (!state.is_at_barrier) {
    state.is_at_barrier = true;
    const bool is_fence = action.verb == Verb::fence;
    Barrier& barrier = barriers_[is_fence ? 0 : static_cast<std::size_t>(action.stage) + 1];
    const ActionPlace last{at.rank, state.last};
    if (barrier.ranks.empty() || state.free_at > barrier.time) barrier.last = last;
    barrier.time = barrier.ranks.empty() ? state.free_at : std::max(barrier.time, state.free_at);
    barrier.ranks.push_back(at.rank);
    if (static_cast<int>(barrier.ranks.size()) < wanted) return false;
    for (const int rank : barrier.ranks) {
      rank_at(rank).barrier_time = barrier.time;
      rank_at(rank).barrier_last = barrier.last;
      if (rank != at.rank) woken_.push_back(rank);
    }
    barrier.ranks.clear();
  }
  if (!state.barrier_time) return false;
  if (*state.barrier_time > start.begin) {
    start = {*state.barrier_time, *state.barrier_time, IdleCause::step, state.barrier_last};
  }
  return true;
}

void SimulationEngine::take_input(ActionPlace at, const Action& action, int step, double time) {
  const int number = wiring_.inbound_link(action);
  if (number < 0) return;
  const ActionPlace reader = repeated_place(wiring_.schedule(), at, step);
  const int source = wiring_.links()[static_cast<std::size_t>(number)].source;
  if (is_rendezvous_) {
    Rank& sender = rank_at(source);
    if (time >= sender.free_at) {
      sender.free_at = time;
      sender.taker = reader;
    }
    if (--sender.offered == 0) woken_.push_back(source);
    return;
  }
  Link& link = links_[static_cast<std::size_t>(number)];
  if (!link.is_bounded) return;
  link.last_takes[static_cast<std::size_t>(link.taken) % link.last_takes.size()] = {time, reader};
  ++link.taken;
  woken_.push_back(source);
}

IdleCause SimulationEngine::cause_of(int rank, const Start& start, ActionPlace& blamed) {
  if (start.cause != IdleCause::dependency) return start.cause;
  const Rank& state = rank_at(rank);
  const double gap = start.begin - state.last_end;
  if (start.begin - std::max(start.made, state.last_end) > 0.5 * gap) {
    return IdleCause::communication;
  }
  // The maker was late because its rank was busy with a STEP: that one is to blame.
  if (const ActionPlace before = ran_before(blamed); before.exists()) {
    const auto size = static_cast<int>(program(before.rank).size());
    const TimedAction& step = timed(before);
    const double during = std::min(step.end, start.begin) - std::max(step.begin, state.last_end);
    if (wiring_.action({before.rank, before.position % size}).verb == Verb::step &&
        during > 0.5 * gap) {
      blamed = before;
      return IdleCause::step;
    }
  }
  const int position = state.position % static_cast<int>(program(rank).size());
  const bool is_backward = makes_input_gradient(wiring_.action({rank, position}).verb);
  if (!state.had_backward && !(is_backward && state.forwards_left == 0)) return IdleCause::fill;
  return state.forwards_left == 0 ? IdleCause::drain : IdleCause::dependency;
}

// Where the rank's action before this one is written.
ActionPlace SimulationEngine::ran_before(ActionPlace place) const {
  if (!decides_) return {place.rank, place.position - 1};
  const auto rank = static_cast<std::size_t>(place.rank);
  if (!place.exists()) return {};
  const int ran = ran_[rank][static_cast<std::size_t>(place.position)];
  return {place.rank, ran < 1 ? -1 : result_.order[rank][static_cast<std::size_t>(ran) - 1]};
}

double& SimulationEngine::copied_at(const Action& action) {
  return copied_at_[static_cast<std::size_t>(action.direction * wiring_.schedule().stages() +
                                             action.stage)];
}

bool SimulationEngine::copies_itself(ActionPlace at, const Action& action, int step) const {
  const ActionPlace place = repeated_place(wiring_.schedule(), at, step);
  return action.verb == Verb::step && copying_steps_[static_cast<std::size_t>(place.rank)]
                                                    [static_cast<std::size_t>(place.position)];
}

void SimulationEngine::consider_copies(ActionPlace at, const Action& action, int step,
                                       Start& start) {
  if (action.verb != Verb::step) return;
  double ready = copied_at(action);
  if (copies_itself(at, action, step)) {
    ready = std::max({ready, rank_at(at.rank).copies_until, start.begin}) +
            pricer_.copy_seconds(action.stage);
  }
  if (ready > start.begin) start = {ready, ready, IdleCause::step, {}};
}

// What an action that begins asks of the copies: PIN a copy of its own, beside the work behind it.
void SimulationEngine::copy_version(ActionPlace at, const Action& action, int step, double time) {
  double& until = rank_at(at.rank).copies_until;
  if (action.verb == Verb::pin) {
    until = std::max(until, time) + pricer_.copy_seconds(action.stage);
    copied_at(action) = until;
  } else if (copies_itself(at, action, step)) {
    until = time;
  }
}

void SimulationEngine::send(ActionPlace at, const Action& action, int step, double time) {
  const int number = wiring_.outbound_link(action);
  if (number < 0 || !wiring_.reader_of(action).exists()) return;
  const int target = wiring_.links()[static_cast<std::size_t>(number)].target;
  double& arrives = arrival(repeated_place(wiring_.schedule(), at, step));
  if (is_rendezvous_) {
    // The message moves when its reader is there too; this is when it is offered.
    ++rank_at(at.rank).offered;
    arrives = time;
  } else if (pricer_.model().messages == MessageModel::occupancy) {
    double& out = link_out_[static_cast<std::size_t>(at.rank)];
    double& in = link_in_[static_cast<std::size_t>(target)];
    arrives = std::max({time, out, in}) + pricer_.message_seconds(action.stage);
    out = in = arrives;
  } else {
    arrives = time + pricer_.message_seconds(action.stage);
  }
  if (decides_ && !is_rendezvous_) {
    completions_.push({arrives, target, true});
  } else {
    woken_.push_back(target);
  }
}

}  // namespace collie
