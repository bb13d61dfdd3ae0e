#include "actors/schedule/event_graph.hpp"

#include <algorithm>

#include "actors/schedule/lowering.hpp"

namespace collie {

EventGraph::EventGraph(const Schedule& lowered) : lowered_(lowered) {
  find_pairs();
  find_ends();
}

void EventGraph::find_pairs() {
  const int stages = lowered_.stages();
  const int directions = lowered_.placement.directions();
  pair_of_boundary_.assign(index_of(directions) * 2 * index_of(stages), -1);
  struct Boundary {
    int from, to;
    std::size_t index;
  };
  std::vector<Boundary> boundaries;
  for (int direction = 0; direction < directions; ++direction) {
    for (int stage = 0; stage < stages; ++stage) {
      for (const int gradient : {0, 1}) {
        const int to = stage + (gradient == 1 ? -1 : 1);
        if (to < 0 || to >= stages) continue;
        const std::size_t index = index_of((direction * 2 + gradient) * stages + stage);
        boundaries.push_back({lowered_.placement.rank_of(stage, direction),
                              lowered_.placement.rank_of(to, direction), index});
      }
    }
  }
  std::ranges::sort(boundaries, {}, [](const Boundary& b) { return std::pair(b.from, b.to); });
  for (const Boundary& boundary : boundaries) {
    if (pairs_.empty() || pairs_.back().from != boundary.from || pairs_.back().to != boundary.to) {
      pairs_.push_back({boundary.from, boundary.to, 0});
    }
    pair_of_boundary_[boundary.index] = static_cast<int>(pairs_.size()) - 1;
  }
}

void EventGraph::find_ends() {
  const std::size_t units = index_of(lowered_.placement.directions()) *
                            index_of(lowered_.stages()) * index_of(lowered_.micro_batches) *
                            index_of(lowered_.slices);
  ends_.resize(2 * units);
  for (const std::vector<Action>& program : lowered_.programs) {
    for (std::size_t position = 0; position < program.size(); ++position) {
      const Action& action = program[position];
      if (is_send(action.verb)) {
        ends_[ends_key(action)].send = static_cast<int>(position);
        ++pairs_[index_of(pair_of(action))].messages;
      }
      if (is_receive(action.verb)) ends_[ends_key(action)].receive = static_cast<int>(position);
    }
  }
}

int EventGraph::pair_of(const Action& action) const {
  const ScheduleMessage message = message_of(action);
  const int kind = action.direction * 2 + (message.is_gradient ? 1 : 0);
  return pair_of_boundary_[index_of(kind * lowered_.stages() + message.from_stage)];
}

std::size_t EventGraph::ends_key(const Action& action) const {
  const ScheduleMessage message = message_of(action);
  std::size_t key = index_of(action.direction) * 2 + (message.is_gradient ? 1 : 0);
  key = key * index_of(lowered_.stages()) + index_of(message.from_stage);
  key = key * index_of(lowered_.micro_batches) + index_of(action.micro_batch);
  return key * index_of(lowered_.slices) + index_of(action.slice);
}

bool EventGraph::completes(int credit) const {
  const std::vector<int> cursors = reach(credit);
  for (std::size_t rank = 0; rank < cursors.size(); ++rank) {
    if (index_of(cursors[rank]) < lowered_.programs[rank].size()) return false;
  }
  return true;
}

int EventGraph::minimum_credit() const {
  if (completes(rendezvous)) return 0;
  int most = 1;
  for (const Pair& pair : pairs_) most = std::max(most, pair.messages);
  // More credit removes edges, so that what completes with one credit completes with more. The
  // answer is small as a rule: gallop, then bisect.
  int low = 0;
  int high = 1;
  while (!completes(high)) {
    if (high >= most) return -1;
    low = high;
    high = std::min(2 * high, most);
  }
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    (completes(middle) ? high : low) = middle;
  }
  return high;
}

std::optional<EventGraph::Mismatch> EventGraph::fifo_mismatch() const {
  std::vector<std::size_t> next_of_pair(pairs_.size() + 1, 0);
  for (std::size_t i = 0; i < pairs_.size(); ++i) {
    next_of_pair[i + 1] = next_of_pair[i] + index_of(pairs_[i].messages);
  }
  std::vector<std::size_t> fill = next_of_pair;
  std::vector<ActionPlace> line(next_of_pair.back());  // the sends of each pair, in order
  const auto for_each = [&](bool (*wanted)(Verb), auto&& visit) {
    for (std::size_t rank = 0; rank < lowered_.programs.size(); ++rank) {
      for (std::size_t i = 0; i < lowered_.programs[rank].size(); ++i) {
        const Action& action = lowered_.programs[rank][i];
        if (wanted(action.verb)) visit(action, ActionPlace{static_cast<int>(rank), int(i)});
      }
    }
  };
  for_each(is_send, [&](const Action& action, ActionPlace place) {
    line[fill[index_of(pair_of(action))]++] = place;
  });
  std::optional<Mismatch> found;
  for_each(is_receive, [&](const Action& action, ActionPlace place) {
    const ActionPlace head = line[next_of_pair[index_of(pair_of(action))]++];
    if (!found && head.position != ends_of(action).send) found = Mismatch{place, head};
  });
  return found;
}

ActionPlace EventGraph::next_receive(int pair, const std::vector<int>& cursors) const {
  const int rank = pairs_[index_of(pair)].to;
  const std::vector<Action>& program = lowered_.programs[index_of(rank)];
  int position = cursors[index_of(rank)];
  while (!is_receive(program[index_of(position)].verb) ||
         pair_of(program[index_of(position)]) != pair) {
    ++position;
  }
  return {rank, position};
}

// Of a rank that has not come to the FENCE or REDUCE_GRAD where this one waits. No rank is past
// that FENCE and all are past those before it, so any that stands elsewhere has it ahead.
ActionPlace EventGraph::next_collective(int rank, const std::vector<int>& cursors) const {
  const Action& mine = lowered_.programs[index_of(rank)][index_of(cursors[index_of(rank)])];
  const bool is_fence = mine.verb == Verb::fence;
  const int peer =
      is_fence ? -1 : lowered_.placement.rank_of(mine.stage, mine.direction == 0 ? 1 : 0);
  for (int other = 0; index_of(other) < lowered_.programs.size(); ++other) {
    const std::vector<Action>& program = lowered_.programs[index_of(other)];
    const auto cursor = program.begin() + cursors[index_of(other)];
    if (other == rank || cursor == program.end() || (!is_fence && other != peer)) continue;
    if (is_fence && cursor->verb == Verb::fence) continue;
    const auto place = std::find_if(cursor, program.end(), [&](const Action& a) {
      return a.verb == mine.verb && (is_fence || a.stage == mine.stage);
    });
    if (place != program.end()) return {other, static_cast<int>(place - program.begin())};
  }
  return {};
}

ActionPlace EventGraph::awaited(int rank, const std::vector<int>& cursors, int credit) const {
  const Action& action = lowered_.programs[index_of(rank)][index_of(cursors[index_of(rank)])];
  if (!is_send(action.verb) && !is_receive(action.verb)) return next_collective(rank, cursors);
  const int pair = pair_of(action);
  const Ends& ends = ends_of(action);
  if (is_receive(action.verb)) return {pairs_[index_of(pair)].from, ends.send};
  if (credit == rendezvous) return {pairs_[index_of(pair)].to, ends.receive};
  return next_receive(pair, cursors);
}

}  // namespace collie
