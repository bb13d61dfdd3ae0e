#include "actors/schedule/event_graph.hpp"
#include "actors/schedule/lowering.hpp"

namespace collie {

// Removes events in topological order.
class EventWalk {
 public:
  EventWalk(const EventGraph& graph, int credit)
      : graph_(graph),
        programs_(graph.lowered_.programs),
        credit_(credit),
        cursors_(programs_.size(), 0),
        held_(graph.pairs_.size(), 0),
        fences_passed_(programs_.size(), 0),
        is_counted_(programs_.size(), 0),
        is_awake_(programs_.size(), 1),
        reductions_(index_of(graph.lowered_.stages()) * 2, 0) {
    for (std::size_t rank = programs_.size(); rank > 0; --rank) {
      awake_.push_back(static_cast<int>(rank) - 1);
    }
  }

  std::vector<int> run() {
    while (!awake_.empty()) {
      const int rank = awake_.back();
      awake_.pop_back();
      is_awake_[index_of(rank)] = 0;
      advance(rank);
    }
    return std::move(cursors_);
  }

 private:
  void advance(int rank) {
    const std::vector<Action>& program = programs_[index_of(rank)];
    int& cursor = cursors_[index_of(rank)];
    while (index_of(cursor) < program.size() && perform(rank, program[index_of(cursor)])) ++cursor;
  }

  // Whether the action at the rank's cursor can happen; if so it does, but for the cursor's step.
  bool perform(int rank, const Action& action) {
    if (is_send(action.verb)) return credit_ == 0 ? meet(action, true) : send(action);
    if (is_receive(action.verb)) return credit_ == 0 ? meet(action, false) : receive(action);
    if (action.verb == Verb::fence) return fence(rank);
    if (action.verb == Verb::all_reduce) return reduce(rank, action);
    return true;
  }

  bool send(const Action& action) {
    const int pair = graph_.pair_of(action);
    int& held = held_[index_of(pair)];
    if (held >= credit_) return false;
    ++held;
    wake(graph_.pairs_[index_of(pair)].to);
    return true;
  }

  bool receive(const Action& action) {
    const int pair = graph_.pair_of(action);
    const int from = graph_.pairs_[index_of(pair)].from;
    // The sender's cursor stands on its send while it wakes us, so that we come back after it.
    if (cursors_[index_of(from)] <= graph_.ends_of(action).send) return false;
    --held_[index_of(pair)];
    wake(from);
    return true;
  }

  // Rendezvous: happens for both ranks when the later one arrives.
  bool meet(const Action& action, bool is_sender) {
    const EventGraph::Pair& pair = graph_.pairs_[index_of(graph_.pair_of(action))];
    const EventGraph::Ends& ends = graph_.ends_of(action);
    const int peer = is_sender ? pair.to : pair.from;
    int& peer_cursor = cursors_[index_of(peer)];
    if (peer_cursor != (is_sender ? ends.receive : ends.send)) return false;
    ++peer_cursor;
    wake(peer);
    return true;
  }

  bool fence(int rank) {
    const std::size_t number = index_of(fences_passed_[index_of(rank)]);
    if (fences_.size() <= number) fences_.resize(number + 1, 0);
    if (count_once(rank) && index_of(++fences_[number]) == programs_.size()) {
      for (int other = 0; index_of(other) < programs_.size(); ++other) wake(other);
    }
    if (index_of(fences_[number]) < programs_.size()) return false;
    ++fences_passed_[index_of(rank)];
    is_counted_[index_of(rank)] = 0;
    return true;
  }

  bool reduce(int rank, const Action& action) {
    if (graph_.lowered_.placement.directions() == 1) return true;
    const std::size_t mine = index_of(action.stage * 2 + action.direction);
    const std::size_t theirs = mine ^ 1U;
    const int peer = graph_.lowered_.placement.rank_of(action.stage, 1 - action.direction);
    if (peer == rank) return true;
    if (count_once(rank)) {
      ++reductions_[mine];
      wake(peer);
    }
    if (reductions_[theirs] < reductions_[mine]) return false;
    is_counted_[index_of(rank)] = 0;
    return true;
  }

  // A rank arrives once at an action, however often it is woken there.
  bool count_once(int rank) {
    const bool is_first = is_counted_[index_of(rank)] == 0;
    is_counted_[index_of(rank)] = 1;
    return is_first;
  }

  void wake(int rank) {
    if (is_awake_[index_of(rank)] != 0) return;
    is_awake_[index_of(rank)] = 1;
    awake_.push_back(rank);
  }

  const EventGraph& graph_;
  const std::vector<std::vector<Action>>& programs_;
  int credit_;
  std::vector<int> cursors_;
  std::vector<int> held_;           // by pair: messages sent and not yet received
  std::vector<int> fences_passed_;  // by rank
  std::vector<int> fences_;         // ranks that arrived at the n-th FENCE
  std::vector<char> is_counted_;
  std::vector<char> is_awake_;
  std::vector<int> reductions_;  // by stage and direction
  std::vector<int> awake_;
};

std::vector<int> EventGraph::reach(int credit) const {
  return EventWalk(*this, credit).run();
}

}  // namespace collie
