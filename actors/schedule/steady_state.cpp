#include <algorithm>
#include <cmath>

#include "actors/schedule/max_cycle_ratio.hpp"
#include "actors/schedule/simulate_engine.hpp"
#include "actors/schedule/simulate_versions.hpp"

namespace collie {

namespace {

// One step of a schedule as a marked graph: a node for each action (or pair side by side), and an
// edge for each "begins no earlier than", which reaches `delay` steps ahead.
class StepGraph {
 public:
  StepGraph(const Wiring& wiring, const Pricer& pricer, bool is_rendezvous)
      : wiring_(wiring), pricer_(pricer), is_rendezvous_(is_rendezvous) {
    if (pricer_.has_copies()) find_copies();
    add_nodes();
    add_program_edges();
    add_input_edges();
    if (is_rendezvous_) {
      add_release_edges();
    } else {
      add_credit_edges();
    }
    add_barriers();
  }

  RatioGraph take_graph() { return std::move(graph_); }

  std::string describe(int node) const {
    const ActionPlace first = places_[static_cast<std::size_t>(node)];
    const Action& action = wiring_.action(first);
    std::string text = fmt::format("rank {}: {}", first.rank, to_string(action));
    if (action.overlaps_next) {
      text += fmt::format(";{}", to_string(wiring_.action({first.rank, first.position + 1})));
    }
    return text;
  }

 private:
  struct Before {
    int node;
    int delay;
  };

  int node_of(ActionPlace place) const {
    return nodes_[static_cast<std::size_t>(place.rank)][static_cast<std::size_t>(place.position)];
  }
  double seconds(int node) const { return seconds_[static_cast<std::size_t>(node)]; }
  Before before(int node) const {
    const ActionPlace place = places_[static_cast<std::size_t>(node)];
    if (place.position > 0) return {node_of({place.rank, place.position - 1}), 0};
    return {nodes_[static_cast<std::size_t>(place.rank)].back(), 1};
  }
  Before after(int node) const {
    const int rank = places_[static_cast<std::size_t>(node)].rank;
    const std::vector<int>& own = nodes_[static_cast<std::size_t>(rank)];
    return node == own.back() ? Before{own.front(), 1} : Before{node + 1, 0};
  }

  // Those of the last but one of several rounds: readers may come in the next.
  void find_copies() {
    constexpr std::size_t rounds = 4;
    const auto& programs = wiring_.schedule().programs;
    Simulation simulation;
    for (const std::vector<Action>& program : programs) {
      simulation.actions.emplace_back(program.size() * rounds);
    }
    assign_versions(wiring_, simulation);
    const std::vector<std::vector<bool>> all = steps_that_copy(wiring_, simulation);
    for (std::size_t rank = 0; rank < programs.size(); ++rank) {
      const auto size = static_cast<std::ptrdiff_t>(programs[rank].size());
      const auto begin = all[rank].begin() + size * (static_cast<std::ptrdiff_t>(rounds) - 2);
      copying_steps_.emplace_back(begin, begin + size);
    }
  }

  void add_nodes() {
    const Schedule& schedule = wiring_.schedule();
    nodes_.resize(schedule.programs.size());
    for (std::size_t rank = 0; rank < schedule.programs.size(); ++rank) {
      const std::vector<Action>& program = schedule.programs[rank];
      for (std::size_t at = 0; at < program.size(); ++at) {
        const ActionPlace place{static_cast<int>(rank), static_cast<int>(at)};
        double cost = pricer_.seconds(program[at], 0, wiring_.has_recompute(program[at]));
        if (program[at].verb == Verb::all_reduce && wiring_.barrier_ranks(program[at]) > 1) {
          cost += pricer_.reduction_seconds(program[at].stage);
        }
        if (at > 0 && program[at - 1].overlaps_next) {
          seconds_.back() =
              pricer_.seconds_of_pair(program[at - 1], program[at], 0, seconds_.back() + cost);
        } else {
          places_.push_back(place);
          seconds_.push_back(cost + copying(rank, at));
        }
        nodes_[rank].push_back(static_cast<int>(places_.size()) - 1);
      }
    }
    graph_.nodes = static_cast<int>(places_.size());
  }

  // A STEP copies the weights first that are still to be read.
  double copying(std::size_t rank, std::size_t at) const {
    if (copying_steps_.empty() || !copying_steps_[rank][at]) return 0.0;
    return pricer_.copy_seconds(
        wiring_.action({static_cast<int>(rank), static_cast<int>(at)}).stage);
  }

  // Under rendezvous a message starts to move when its reader is free: how long before the begin.
  double lead(int node) const {
    if (!is_rendezvous_) return 0.0;
    const ActionPlace first = places_[static_cast<std::size_t>(node)];
    double longest = 0.0;
    for (int i = 0; i < (wiring_.action(first).overlaps_next ? 2 : 1); ++i) {
      const Action& action = wiring_.action({first.rank, first.position + i});
      if (wiring_.inbound_link(action) < 0) continue;
      const int maker = wiring_.action(wiring_.input_of(action)).stage;
      longest = std::max(longest, pricer_.message_seconds(maker));
    }
    return longest;
  }

  void add_program_edges() {
    for (int node = 0; node < graph_.nodes; ++node) {
      const Before previous = before(node);
      graph_.edges.push_back(
          {previous.node, node, seconds(previous.node) + lead(node), previous.delay});
    }
  }

  template <class Visit>
  void for_each_message(const Visit& visit) const {
    const Schedule& schedule = wiring_.schedule();
    for (std::size_t rank = 0; rank < schedule.programs.size(); ++rank) {
      for (std::size_t at = 0; at < schedule.programs[rank].size(); ++at) {
        const Action& action = schedule.programs[rank][at];
        if (wiring_.inbound_link(action) < 0) continue;
        visit(wiring_.input_of(action), ActionPlace{static_cast<int>(rank), static_cast<int>(at)});
      }
    }
  }

  void add_input_edges() {
    for_each_message([this](ActionPlace maker, ActionPlace reader) {
      const double message = pricer_.message_seconds(wiring_.action(maker).stage);
      const int from = node_of(maker);
      graph_.edges.push_back({from, node_of(reader), seconds(from) + message, 0});
    });
  }

  void add_release_edges() {
    for_each_message([this](ActionPlace maker, ActionPlace reader) {
      const Before next = after(node_of(maker));
      graph_.edges.push_back({node_of(reader), next.node, lead(next.node), next.delay});
    });
  }

  void add_credit_edges() {
    const Schedule& schedule = wiring_.schedule();
    std::vector<std::vector<int>> senders(wiring_.links().size()), readers(senders.size());
    for (std::size_t rank = 0; rank < schedule.programs.size(); ++rank) {
      for (std::size_t at = 0; at < schedule.programs[rank].size(); ++at) {
        const Action& action = schedule.programs[rank][at];
        const int out = wiring_.outbound_link(action);
        const int in = wiring_.inbound_link(action);
        if (out >= 0) senders[static_cast<std::size_t>(out)].push_back(nodes_[rank][at]);
        if (in >= 0) readers[static_cast<std::size_t>(in)].push_back(nodes_[rank][at]);
      }
    }
    for (std::size_t link = 0; link < senders.size(); ++link) {
      const auto count = static_cast<std::int64_t>(senders[link].size());
      if (readers[link].size() != senders[link].size()) continue;
      for (std::int64_t k = 0; k < count; ++k) {
        // The k-th send waits for the take `credit` messages earlier, perhaps some steps ago.
        const std::int64_t earlier = schedule.channel.credit - k;
        const std::int64_t delay = earlier > 0 ? (earlier + count - 1) / count : 0;
        const auto take = static_cast<std::size_t>(delay * count - earlier);
        graph_.edges.push_back({readers[link][take], senders[link][static_cast<std::size_t>(k)],
                                0.0, static_cast<int>(delay)});
      }
    }
  }

  // All ranks of a barrier begin when the last is free: the first rank's node stands for that.
  void add_barriers() {
    const Schedule& schedule = wiring_.schedule();
    std::vector<std::vector<int>> hubs(static_cast<std::size_t>(schedule.stages()) + 1);
    for (std::size_t rank = 0; rank < schedule.programs.size(); ++rank) {
      std::vector<std::size_t> passed(hubs.size(), 0);
      for (std::size_t at = 0; at < schedule.programs[rank].size(); ++at) {
        const Action& action = schedule.programs[rank][at];
        if (wiring_.barrier_ranks(action) == 1) continue;
        const std::size_t kind =
            action.verb == Verb::fence ? 0 : static_cast<std::size_t>(action.stage) + 1;
        const int node = nodes_[rank][at];
        if (passed[kind] == hubs[kind].size()) hubs[kind].push_back(node);
        const int hub = hubs[kind][passed[kind]++];
        if (hub == node) continue;
        const Before previous = before(node);
        graph_.edges.push_back({previous.node, hub, seconds(previous.node), previous.delay});
        graph_.edges.push_back({hub, node, 0.0, 0});
      }
    }
  }

  const Wiring& wiring_;
  const Pricer& pricer_;
  bool is_rendezvous_;
  std::vector<std::vector<bool>> copying_steps_;  // by rank and position; empty: copies are free
  RatioGraph graph_;
  std::vector<std::vector<int>> nodes_;  // by rank and position
  std::vector<ActionPlace> places_;      // by node: its first action
  std::vector<double> seconds_;
};

}  // namespace

namespace {

Status check_has_period(const Schedule& schedule, const CostModel& costs) {
  if (costs.messages == MessageModel::occupancy) {
    return make_error(ErrorCode::unsupported,
                      "schedule {}: messages that share links have no exact period; simulate "
                      "several steps, or price them as latency",
                      schedule.name);
  }
  if (schedule.policy.decides()) {
    return make_error(ErrorCode::unsupported,
                      "schedule {}: what a policy chooses has no exact period; simulate several "
                      "steps, or record an order",
                      schedule.name);
  }
  return ok_status();
}

bool has_pins(const Schedule& schedule) {
  return std::ranges::any_of(schedule.programs, [](const std::vector<Action>& program) {
    return std::ranges::find(program, Verb::pin, &Action::verb) != program.end();
  });
}

}  // namespace

Result<SteadyState> steady_state(const Schedule& schedule, const CostModel& costs) {
  COLLIE_TRY_VOID(check_has_period(schedule, costs));
  COLLIE_TRY(const Pricer pricer, Pricer::make(schedule, costs));
  COLLIE_TRY(const Wiring wiring, Wiring::make(schedule));
  if (pricer.has_copies() && has_pins(schedule)) {
    return make_error(ErrorCode::unsupported,
                      "schedule {}: copies that PIN begins have no exact period; simulate several "
                      "steps",
                      schedule.name);
  }
  const Pricer steady = pricer.without_jitter();
  const bool is_rendezvous = costs.messages == MessageModel::rendezvous ||
                             schedule.channel.kind == ChannelKind::rendezvous;
  StepGraph step(wiring, steady, is_rendezvous);
  const RatioGraph graph = step.take_graph();
  if (!delays_break_all_cycles(graph)) {
    return make_error(ErrorCode::invalid_config,
                      "schedule {} cannot finish {}: its actions wait for each other in a circle",
                      schedule.name,
                      is_rendezvous ? std::string("with rendezvous")
                                    : fmt::format("with credit {}", schedule.channel.credit));
  }
  const CycleRatio longest = max_cycle_ratio(graph);
  SteadyState result{longest.ratio, {}};
  for (const int node : longest.nodes) result.critical_cycle.push_back(step.describe(node));
  return result;
}

}  // namespace collie
