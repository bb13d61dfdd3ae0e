// Where a policy decides: what a rank starts is chosen on the clock, by the rule that runs use.
#include <algorithm>
#include <set>

#include "actors/schedule/simulate_engine.hpp"

namespace collie {

void SimulationEngine::run_by_policy() {
  choices_.resize(ranks_.size());
  result_.order.resize(ranks_.size());
  ran_.resize(ranks_.size());
  for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
    ran_[rank].assign(result_.actions[rank].size(), -1);
    woken_.push_back(static_cast<int>(rank));
  }
  choose_for_woken();
  while (!completions_.empty()) {
    now_ = completions_.top().time;
    // All that happens at one instant is known when ranks choose.
    while (!completions_.empty() && completions_.top().time <= now_) {
      const Completion next = completions_.top();
      completions_.pop();
      if (next.is_arrival) {
        woken_.push_back(next.rank);
      } else {
        complete(next);
      }
    }
    choose_for_woken();
  }
}

// In rounds over the ranks, upwards: a start gives credit, which may let others start.
void SimulationEngine::choose_for_woken() {
  std::set<int> waiting;
  for (int from = 0;;) {
    waiting.insert(woken_.begin(), woken_.end());
    woken_.clear();
    if (waiting.empty()) return;
    auto next = waiting.lower_bound(from);
    if (next == waiting.end()) next = waiting.begin();
    const int rank = *next;
    waiting.erase(next);
    from = rank + 1;
    choose(rank);
  }
}

void SimulationEngine::choose(int rank) {
  Rank& state = rank_at(rank);
  if (state.is_running || state.offered > 0 || state.done == state.end_position) return;
  if (state.free_at > now_) {
    completions_.push({state.free_at, rank, true});
    return;
  }
  const auto size = static_cast<int>(program(rank).size());
  const int step = state.done / size;
  std::optional<PolicyChoice>& chooser = choices_[static_cast<std::size_t>(rank)];
  if (!chooser || chooser->finished()) {
    const Schedule& schedule = wiring_.schedule();
    chooser.emplace(schedule.policy, program(rank), schedule.slices);
  }
  Start start;
  const Choice* choice =
      chooser->choose([&](const Choice& next) { return may_choose(rank, next, step, start); });
  if (choice == nullptr) return;
  state.position = step * size + choice->position;
  auto& order = result_.order[static_cast<std::size_t>(rank)];
  ran_[static_cast<std::size_t>(rank)][static_cast<std::size_t>(state.position)] =
      static_cast<int>(order.size());
  order.push_back(state.position);
  chooser->started(choice->action);
  begin(rank, 1, step, start);
}

bool SimulationEngine::may_choose(int rank, const Choice& choice, int step, Start& start) {
  start = earliest_start(rank);
  const ActionPlace input = wiring_.input_of(choice.action);
  if (input.exists()) {
    const ActionPlace maker = repeated_place(wiring_.schedule(), input, step);
    const bool is_here =
        input.rank == rank
            ? ran_[static_cast<std::size_t>(rank)][static_cast<std::size_t>(maker.position)] >= 0
            : arrival(maker) >= 0.0 && arrival(maker) <= now_;
    if (!is_here) return false;
  }
  if (!may_start({rank, choice.position}, choice.action, step, start)) return false;
  start.begin = std::max(start.begin, now_);
  return true;
}

void put_in_order(Simulation& simulation) {
  std::vector<std::vector<int>> ran(simulation.order.size());  // where in the order, as written
  for (std::size_t rank = 0; rank < ran.size(); ++rank) {
    ran[rank].resize(simulation.order[rank].size());
    for (std::size_t at = 0; at < ran[rank].size(); ++at) {
      ran[rank][static_cast<std::size_t>(simulation.order[rank][at])] = static_cast<int>(at);
    }
  }
  for (std::size_t rank = 0; rank < ran.size(); ++rank) {
    std::vector<TimedAction> actions;
    for (const int written : simulation.order[rank]) {
      TimedAction& action =
          actions.emplace_back(simulation.actions[rank][static_cast<std::size_t>(written)]);
      if (!action.blamed.exists()) continue;
      int& position = action.blamed.position;
      position =
          ran[static_cast<std::size_t>(action.blamed.rank)][static_cast<std::size_t>(position)];
    }
    simulation.actions[rank] = std::move(actions);
  }
}

Schedule as_run(const Schedule& schedule, const Simulation& simulation) {
  Schedule ran = schedule;
  ran.policy = {};
  for (std::size_t rank = 0; rank < simulation.order.size(); ++rank) {
    const std::vector<Action>& program = schedule.programs[rank];
    ran.programs[rank].clear();
    for (const int written : simulation.order[rank]) {
      ran.programs[rank].push_back(program[static_cast<std::size_t>(written) % program.size()]);
      ran.programs[rank].back().overlaps_next = false;
    }
  }
  return ran;
}

}  // namespace collie
