#include "actors/schedule/simulate_engine.hpp"

#include <algorithm>

#include "actors/schedule/simulate_versions.hpp"

namespace collie {

SimulationEngine::SimulationEngine(const Wiring& wiring, const Pricer& pricer, int steps)
    : wiring_(wiring),
      pricer_(pricer),
      is_rendezvous_(pricer.model().messages == MessageModel::rendezvous ||
                     wiring.schedule().channel.kind == ChannelKind::rendezvous),
      decides_(wiring.schedule().policy.decides()),
      ranks_(wiring.schedule().programs.size()),
      link_out_(ranks_.size(), 0.0),
      link_in_(ranks_.size(), 0.0),
      barriers_(static_cast<std::size_t>(wiring.schedule().stages()) + 1),
      arrivals_(ranks_.size()) {
  result_.steps = steps;
  result_.actions.resize(ranks_.size());
  result_.busy.assign(ranks_.size(), 0.0);
  for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
    const std::size_t count =
        wiring.schedule().programs[rank].size() * static_cast<std::size_t>(steps);
    ranks_[rank].end_position = static_cast<int>(count);
    result_.actions[rank].resize(count);
    arrivals_[rank].assign(count, -1.0);
    count_forwards(static_cast<int>(rank));
  }
  size_links(steps);
  assign_versions(wiring_, result_);
  if (!pricer_.has_copies()) return;
  copying_steps_ = steps_that_copy(wiring_, result_);
  copied_at_.assign(static_cast<std::size_t>(wiring.schedule().stages()) * 2, 0.0);
}

void SimulationEngine::count_forwards(int rank) {
  for (const Action& action : program(rank)) {
    if (action.verb == Verb::forward) ++rank_at(rank).forwards;
  }
  rank_at(rank).forwards_left = rank_at(rank).forwards;
}

void SimulationEngine::size_links(int steps) {
  links_.resize(wiring_.links().size());
  if (is_rendezvous_) return;
  std::vector<std::int64_t> messages(links_.size(), 0);
  for (const std::vector<Action>& actions : wiring_.schedule().programs) {
    for (const Action& action : actions) {
      const int link = wiring_.outbound_link(action);
      if (link >= 0) messages[static_cast<std::size_t>(link)] += steps;
    }
  }
  const std::int64_t credit = wiring_.schedule().channel.credit;
  for (std::size_t link = 0; link < links_.size(); ++link) {
    links_[link].is_bounded = credit < messages[link];
    if (links_[link].is_bounded) links_[link].last_takes.resize(static_cast<std::size_t>(credit));
  }
}

void SimulationEngine::run_in_order() {
  for (int rank = static_cast<int>(ranks_.size()); rank-- > 0;) woken_.push_back(rank);
  wake_ranks();
  while (!completions_.empty()) {
    const Completion next = completions_.top();
    completions_.pop();
    complete(next);
    wake_ranks();
  }
}

Status SimulationEngine::run() {
  if (decides_) {
    run_by_policy();
  } else {
    run_in_order();
  }
  std::string waits;
  int waiting = 0;
  for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
    if (ranks_[rank].done == ranks_[rank].end_position && ranks_[rank].offered == 0) continue;
    if (++waiting <= 4)
      waits += (waits.empty() ? "" : ", ") + describe_wait(static_cast<int>(rank));
  }
  if (waiting == 0) return ok_status();
  return make_error(
      ErrorCode::invalid_config, "schedule {} cannot finish {}: {}{}", wiring_.schedule().name,
      is_rendezvous_ ? std::string("with rendezvous")
                     : fmt::format("with credit {}", wiring_.schedule().channel.credit),
      waits, waiting > 4 ? fmt::format(", and {} more", waiting - 4) : "");
}

std::string SimulationEngine::describe_wait(int rank) {
  const Rank& state = rank_at(rank);
  const auto size = static_cast<int>(program(rank).size());
  if (state.offered > 0) {
    return fmt::format("rank {} waits for a reader of {}", rank,
                       to_string(wiring_.action({rank, state.last % size})));
  }
  if (decides_) {
    return fmt::format("rank {} waits after {} of {} actions", rank, state.done % size, size);
  }
  return fmt::format("rank {} waits at {} (action {} of {})", rank,
                     to_string(wiring_.action({rank, state.position % size})),
                     state.position % size + 1, size);
}

void SimulationEngine::wake_ranks() {
  while (!woken_.empty()) {
    const int rank = woken_.back();
    woken_.pop_back();
    try_start(rank);
  }
}

int SimulationEngine::group_size(int rank, int position) const {
  const bool is_pair = program(rank)[static_cast<std::size_t>(position)].overlaps_next;
  return is_pair && !decides_ ? 2 : 1;
}

SimulationEngine::Start SimulationEngine::earliest_start(int rank) {
  const Rank& state = rank_at(rank);
  Start start{state.free_at, state.last_end, IdleCause::none, {}};
  if (state.free_at > state.last_end) {
    start.cause = IdleCause::communication;
    start.blamed = state.taker;
  }
  return start;
}

bool SimulationEngine::may_start(ActionPlace at, const Action& action, int step, Start& start) {
  if (!consider_input(at, action, step, start) || !consider_credit(action, start) ||
      !consider_barrier(at, action, start)) {
    return false;
  }
  if (!copying_steps_.empty()) consider_copies(at, action, step, start);
  return true;
}

bool SimulationEngine::try_start(int rank) {
  Rank& state = rank_at(rank);
  if (state.is_running || state.offered > 0 || state.done == state.end_position) return false;
  const auto size = static_cast<int>(program(rank).size());
  const int step = state.position / size;
  const int position = state.position % size;
  const int count = group_size(rank, position);
  Start start = earliest_start(rank);
  for (int i = 0; i < count; ++i) {
    const ActionPlace at{rank, position + i};
    if (!may_start(at, wiring_.action(at), step, start)) return false;
  }
  begin(rank, count, step, start);
  return true;
}

double SimulationEngine::duration(int rank, int position, int count, int step) const {
  double seconds = 0.0;
  for (int i = 0; i < count; ++i) {
    const Action& action = wiring_.action({rank, position + i});
    seconds += pricer_.seconds(action, step, wiring_.has_recompute(action));
    if (action.verb == Verb::all_reduce && wiring_.barrier_ranks(action) > 1) {
      seconds += pricer_.reduction_seconds(action.stage);
    }
  }
  if (count == 1) return seconds;
  return pricer_.seconds_of_pair(wiring_.action({rank, position}),
                                 wiring_.action({rank, position + 1}), step, seconds);
}

void SimulationEngine::begin(int rank, int count, int step, const Start& start) {
  Rank& state = rank_at(rank);
  const auto size = static_cast<int>(program(rank).size());
  const int position = state.position % size;
  const double seconds = duration(rank, position, count, step);
  if (state.done % size == 0) {
    state.forwards_left = state.forwards;
    state.had_backward = false;
  }
  for (int i = 0; i < count; ++i) {
    TimedAction& action = timed({rank, state.position + i});
    action.begin = start.begin;
    action.end = start.begin + seconds;
    const ActionPlace at{rank, position + i};
    take_input(at, wiring_.action(at), step, start.begin);
    const int link = is_rendezvous_ ? -1 : wiring_.outbound_link(wiring_.action(at));
    if (link >= 0) ++links_[static_cast<std::size_t>(link)].sent;
  }
  if (start.begin > state.last_end) {
    TimedAction& first = timed({rank, state.position});
    first.blamed = start.blamed;
    first.idle = cause_of(rank, start, first.blamed);
  }
  for (int i = 0; i < count; ++i) {
    const Action& action = wiring_.action({rank, position + i});
    if (action.verb == Verb::forward) --state.forwards_left;
    state.had_backward |= makes_input_gradient(action.verb);
    if (!copying_steps_.empty()) copy_version({rank, position + i}, action, step, start.begin);
  }
  result_.busy[static_cast<std::size_t>(rank)] += seconds;
  state.is_running = true;
  state.is_at_barrier = false;
  state.barrier_time.reset();
  completions_.push({start.begin + seconds, rank});
}

void SimulationEngine::complete(const Completion& completion) {
  Rank& state = rank_at(completion.rank);
  const auto size = static_cast<int>(program(completion.rank).size());
  const int position = state.position % size;
  const int step = state.position / size;
  const int count = group_size(completion.rank, position);
  state.is_running = false;
  state.free_at = completion.time;
  state.last_end = completion.time;
  state.last = state.position + count - 1;
  state.position += count;
  state.done += count;
  for (int i = 0; i < count; ++i) {
    const ActionPlace at{completion.rank, position + i};
    send(at, wiring_.action(at), step, completion.time);
  }
  woken_.push_back(completion.rank);
}

Simulation SimulationEngine::take_result() {
  return std::move(result_);
}

}  // namespace collie
