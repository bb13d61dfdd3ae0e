#include "actors/schedule/simulate_engine.hpp"

#include <algorithm>

namespace collie {

SimulationEngine::SimulationEngine(const Wiring& wiring, const Pricer& pricer, int steps)
    : wiring_(wiring),
      pricer_(pricer),
      is_rendezvous_(pricer.model().messages == MessageModel::rendezvous ||
                     wiring.schedule().channel.kind == ChannelKind::rendezvous),
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
    find_phases(static_cast<int>(rank));
  }
  size_links(steps);
}

void SimulationEngine::find_phases(int rank) {
  const std::vector<Action>& actions = program(rank);
  Rank& state = rank_at(rank);
  state.first_backward = static_cast<int>(actions.size());
  for (int position = static_cast<int>(actions.size()); position-- > 0;) {
    const Verb verb = actions[static_cast<std::size_t>(position)].verb;
    if (makes_input_gradient(verb)) state.first_backward = position;
    if (verb == Verb::forward) state.last_forward = std::max(state.last_forward, position);
  }
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

Status SimulationEngine::run() {
  for (int rank = static_cast<int>(ranks_.size()); rank-- > 0;) woken_.push_back(rank);
  wake_ranks();
  while (!completions_.empty()) {
    const Completion next = completions_.top();
    completions_.pop();
    complete(next);
    wake_ranks();
  }
  std::string waits;
  int waiting = 0;
  for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
    if (ranks_[rank].position == ranks_[rank].end_position && ranks_[rank].offered == 0) continue;
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
                       to_string(wiring_.action({rank, (state.position - 1) % size})));
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
  return program(rank)[static_cast<std::size_t>(position)].overlaps_next ? 2 : 1;
}

bool SimulationEngine::try_start(int rank) {
  Rank& state = rank_at(rank);
  if (state.is_running || state.offered > 0 || state.position == state.end_position) return false;
  const auto size = static_cast<int>(program(rank).size());
  const int step = state.position / size;
  const int position = state.position % size;
  const int count = group_size(rank, position);
  Start start{state.free_at, state.last_end, IdleCause::none, {}};
  if (state.free_at > state.last_end) {
    start.cause = IdleCause::communication;
    start.blamed = state.taker;
  }
  for (int i = 0; i < count; ++i) {
    const ActionPlace at{rank, position + i};
    const Action& action = wiring_.action(at);
    if (!consider_input(at, action, step, start) || !consider_credit(action, start) ||
        !consider_barrier(at, action, start)) {
      return false;
    }
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
  state.position += count;
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
