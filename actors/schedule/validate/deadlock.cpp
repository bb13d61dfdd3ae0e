#include <algorithm>

#include "actors/schedule/lowering.hpp"
#include "actors/schedule/validate/checks.hpp"

namespace collie::checks {

namespace {

// Each stuck rank waits for one other: the shortest cycle of these, in order.
std::vector<int> shortest_cycle(const std::vector<int>& waits_for) {
  std::vector<int> shortest;
  std::vector<int> seen_from(waits_for.size(), -1);
  std::vector<int> path;
  for (int start = 0; index_of(start) < waits_for.size(); ++start) {
    path.clear();
    int rank = start;
    while (rank >= 0 && seen_from[index_of(rank)] < 0) {
      seen_from[index_of(rank)] = start;
      path.push_back(rank);
      rank = waits_for[index_of(rank)];
    }
    if (rank < 0 || seen_from[index_of(rank)] != start) continue;
    path.erase(path.begin(), std::ranges::find(path, rank));
    if (shortest.empty() || path.size() < shortest.size()) shortest = path;
  }
  return shortest;
}

std::vector<int> find_cycle(const EventGraph& graph, const Schedule& lowered,
                            const std::vector<int>& cursors, int credit) {
  std::vector<int> waits_for(cursors.size(), -1);
  for (int rank = 0; index_of(rank) < cursors.size(); ++rank) {
    if (index_of(cursors[index_of(rank)]) == lowered.programs[index_of(rank)].size()) continue;
    waits_for[index_of(rank)] = graph.awaited(rank, cursors, credit).rank;
  }
  return shortest_cycle(waits_for);
}

std::string wording(const Channel& channel) {
  switch (channel.kind) {
    case ChannelKind::tagged:
      return fmt::format("tagged mailboxes of credit {}", channel.credit);
    case ChannelKind::fifo:
      return fmt::format("FIFO channels of credit {}", channel.credit);
    case ChannelKind::rendezvous:
      break;
  }
  return "rendezvous";
}

std::string waiting_of(const EventGraph& graph, const std::vector<int>& cursors, int rank,
                       int credit) {
  const Action& action = graph.at({rank, cursors[index_of(rank)]});
  const ActionPlace awaited = graph.awaited(rank, cursors, credit);
  const std::string wanted = to_string(graph.at(awaited));
  if (!is_send(action.verb) || credit == EventGraph::rendezvous) {
    return fmt::format("rank {} waits at {} for rank {}'s {}", rank, to_string(action),
                       awaited.rank, wanted);
  }
  return fmt::format("rank {} waits at {} until rank {} takes one of {} messages, next in {}", rank,
                     to_string(action), awaited.rank, credit, wanted);
}

std::string waiting(const EventGraph& graph, const std::vector<int>& cursors,
                    const std::vector<int>& cycle, int credit) {
  // A long cycle is a pattern: its first ranks show it, the picture shows all.
  constexpr std::size_t shown_max = 4;
  std::string text;
  for (std::size_t i = 0; i < std::min(cycle.size(), shown_max); ++i) {
    text += (i == 0 ? "" : ", ") + waiting_of(graph, cursors, cycle[i], credit);
  }
  if (cycle.size() > shown_max) text += fmt::format(", ... ({} ranks)", cycle.size());
  return text;
}

Violation stuck(const EventGraph& graph, const Schedule& lowered, int credit, int minimum) {
  const std::vector<int> cursors = graph.reach(credit);
  const std::vector<int> cycle = find_cycle(graph, lowered, cursors, credit);
  const std::string remedy = minimum < 0
                                 ? "no credit helps, the order has to change"
                                 : fmt::format("tagged mailboxes of credit {} are enough", minimum);
  const std::string channel =
      minimum < 0 && credit == EventGraph::unbounded ? "any channel" : wording(lowered.channel);
  Violation found = violation(Invariant::deadlock, "deadlock with {}: {}; {}", channel,
                              waiting(graph, cursors, cycle, credit), remedy);
  found.picture = draw_cycle(graph, lowered, cursors, cycle, credit);
  return found;
}

Violation out_of_order(const EventGraph& graph, const EventGraph::Mismatch& mismatch) {
  const Action& wanted = graph.at(mismatch.receive);
  const Action& head = graph.at(mismatch.head);
  Violation found = violation(
      Invariant::deadlock,
      "deadlock with FIFO channels of any depth: rank {} takes {} next from rank {}, but {} is "
      "ahead of it in the channel; tagged mailboxes take them in any order",
      mismatch.receive.rank, to_string(wanted), mismatch.head.rank, to_string(head));
  found.picture =
      fmt::format("rank {} sends  ... {} ...\nrank {} takes  ... {} ...\n", mismatch.head.rank,
                  to_string(head), mismatch.receive.rank, to_string(wanted));
  return found;
}

}  // namespace

std::string draw_cycle(const EventGraph& graph, const Schedule& lowered,
                       const std::vector<int>& cursors, const std::vector<int>& cycle, int credit) {
  constexpr int done_shown = 3;
  struct Lane {
    std::string done, stuck, ahead;
  };
  std::vector<Lane> lanes;
  std::size_t done_width = 0;
  std::size_t stuck_width = 0;
  for (std::size_t i = 0; i < cycle.size(); ++i) {
    const int rank = cycle[i];
    const int cursor = cursors[index_of(rank)];
    Lane lane;
    if (cursor > done_shown) lane.done = "... ";
    for (int at = std::max(0, cursor - done_shown); at < cursor; ++at) {
      lane.done += to_string(lowered.programs[index_of(rank)][index_of(at)]) + " ";
    }
    lane.stuck = to_string(graph.at({rank, cursor}));
    const int waiter = cycle[(i + cycle.size() - 1) % cycle.size()];
    const ActionPlace wanted = graph.awaited(waiter, cursors, credit);
    const int between = wanted.position - cursor - 1;
    if (between > 0) lane.ahead = fmt::format("({} more) ", between);
    if (wanted.position > cursor) lane.ahead += to_string(graph.at(wanted)) + "  ";
    lane.ahead += fmt::format("<- rank {} waits for this", waiter);
    done_width = std::max(done_width, lane.done.size());
    stuck_width = std::max(stuck_width, lane.stuck.size());
    lanes.push_back(std::move(lane));
  }
  std::string text;
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    text += fmt::format("rank {:<4} {:>{}}[{:^{}}] {}\n", cycle[i], lanes[i].done, done_width,
                        lanes[i].stuck, stuck_width, lanes[i].ahead);
  }
  return text;
}

Found deadlock(const Schedule& lowered, Validation& result) {
  const EventGraph graph(lowered);
  const int minimum = graph.minimum_credit();
  const std::optional<EventGraph::Mismatch> mismatch = graph.fifo_mismatch();
  result.minimum_credit_tagged = minimum;
  result.minimum_credit_fifo = mismatch ? -1 : minimum;
  const bool is_rendezvous = lowered.channel.kind == ChannelKind::rendezvous;
  const int credit = is_rendezvous ? EventGraph::rendezvous : std::max(0, lowered.channel.credit);
  if (minimum < 0) return stuck(graph, lowered, EventGraph::unbounded, minimum);
  if (credit < minimum) return stuck(graph, lowered, credit, minimum);
  if (lowered.channel.kind == ChannelKind::fifo && mismatch) return out_of_order(graph, *mismatch);
  return std::nullopt;
}

}  // namespace collie::checks
