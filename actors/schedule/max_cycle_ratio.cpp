#include "actors/schedule/max_cycle_ratio.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/check.hpp"

namespace collie {

namespace {

std::size_t at(int index) {
  return static_cast<std::size_t>(index);
}

// Edges sorted by the node that they leave; first[n] to first[n + 1] are those of node n.
struct Leaving {
  std::vector<RatioEdge> edges;
  std::vector<std::size_t> first;
};

Leaving sorted_by_source(const RatioGraph& graph) {
  Leaving leaving{std::vector<RatioEdge>(graph.edges.size()),
                  std::vector<std::size_t>(at(graph.nodes) + 1, 0)};
  for (const RatioEdge& edge : graph.edges) ++leaving.first[at(edge.from) + 1];
  std::partial_sum(leaving.first.begin(), leaving.first.end(), leaving.first.begin());
  std::vector<std::size_t> next = leaving.first;
  for (const RatioEdge& edge : graph.edges) leaving.edges[next[at(edge.from)]++] = edge;
  return leaving;
}

class Howard {
 public:
  explicit Howard(const RatioGraph& graph)
      : leaving_(sorted_by_source(graph)),
        policy_(at(graph.nodes)),
        ratio_(at(graph.nodes), 0.0),
        value_(at(graph.nodes), 0.0),
        state_(at(graph.nodes), 0) {
    double total = 0.0;
    for (const RatioEdge& edge : graph.edges) total = std::max(total, std::abs(edge.weight));
    // What sums of so many weights may be off by, so that rounding is not taken for progress.
    tolerance_ = 1e-13 * total * std::sqrt(static_cast<double>(graph.nodes) + 1.0);
    for (std::size_t node = 0; node < policy_.size(); ++node) {
      COLLIE_CHECK(leaving_.first[node] < leaving_.first[node + 1], "node {} has no way on", node);
      policy_[node] = leaving_.first[node];
    }
  }

  CycleRatio solve() {
    do {
      evaluate();
    } while (improve_ratios() || improve_values());
    const auto best = static_cast<int>(std::ranges::max_element(ratio_) - ratio_.begin());
    return cycle_from(best);
  }

 private:
  const RatioEdge& chosen(int node) const { return leaving_.edges[policy_[at(node)]]; }

  // Ratio and value of every node under the policy, which leads each into one cycle.
  void evaluate() {
    std::ranges::fill(state_, 0);
    std::vector<int> path;
    for (int start = 0; start < static_cast<int>(policy_.size()); ++start) {
      path.clear();
      int node = start;
      for (; state_[at(node)] == 0; node = chosen(node).to) {
        state_[at(node)] = 1;
        path.push_back(node);
      }
      if (state_[at(node)] == 1) evaluate_cycle(node);
      for (; !path.empty(); path.pop_back()) {
        const int last = path.back();
        if (state_[at(last)] == 2) continue;
        const RatioEdge& edge = chosen(last);
        ratio_[at(last)] = ratio_[at(edge.to)];
        value_[at(last)] = value_through(edge, ratio_[at(last)]);
        state_[at(last)] = 2;
      }
    }
  }

  // The root keeps its value, which makes values of different cycles comparable between rounds.
  void evaluate_cycle(int root) {
    double weight = 0.0;
    double delay = 0.0;
    int node = root;
    do {
      weight += chosen(node).weight;
      delay += chosen(node).delay;
      node = chosen(node).to;
    } while (node != root);
    COLLIE_CHECK(delay > 0.0, "a cycle without delay through node {}", root);
    ratio_[at(root)] = weight / delay;
    state_[at(root)] = 2;
  }

  double value_through(const RatioEdge& edge, double ratio) const {
    return edge.weight - ratio * edge.delay + value_[at(edge.to)];
  }

  // Leads every node into the cycle with the greatest ratio that it can reach.
  bool improve_ratios() {
    bool has_changed = false;
    for (bool changes = true; changes;) {
      changes = false;
      // Both ways along the node numbers, for chains run either way.
      for (int node = static_cast<int>(policy_.size()); node-- > 0;) changes |= adopt_ratio(node);
      for (int node = 0; node < static_cast<int>(policy_.size()); ++node) {
        changes |= adopt_ratio(node);
      }
      has_changed |= changes;
    }
    return has_changed;
  }

  bool adopt_ratio(int node) {
    bool adopted = false;
    for (std::size_t e = leaving_.first[at(node)]; e < leaving_.first[at(node) + 1]; ++e) {
      const double ratio = ratio_[at(leaving_.edges[e].to)];
      if (ratio <= ratio_[at(node)] + tolerance_) continue;
      ratio_[at(node)] = ratio;
      policy_[at(node)] = e;
      adopted = true;
    }
    return adopted;
  }

  bool improve_values() {
    bool changed = false;
    for (int node = 0; node < static_cast<int>(policy_.size()); ++node) {
      double best = value_[at(node)] + tolerance_ * 16.0;
      for (std::size_t e = leaving_.first[at(node)]; e < leaving_.first[at(node) + 1]; ++e) {
        const RatioEdge& edge = leaving_.edges[e];
        if (ratio_[at(edge.to)] < ratio_[at(node)] - tolerance_) continue;
        const double value = value_through(edge, ratio_[at(node)]);
        if (value <= best) continue;
        best = value;
        policy_[at(node)] = e;
        changed = true;
      }
    }
    return changed;
  }

  CycleRatio cycle_from(int node) const {
    for (std::size_t i = 0; i < policy_.size(); ++i) node = chosen(node).to;
    CycleRatio result{ratio_[at(node)], {}};
    const int root = node;
    do {
      result.nodes.push_back(node);
      node = chosen(node).to;
    } while (node != root);
    return result;
  }

  Leaving leaving_;
  std::vector<std::size_t> policy_;  // the edge by which each node goes on
  std::vector<double> ratio_, value_;
  std::vector<signed char> state_;  // of evaluate: not seen, on the path, done
  double tolerance_ = 0.0;
};

}  // namespace

bool delays_break_all_cycles(const RatioGraph& graph) {
  const Leaving leaving = sorted_by_source(graph);
  std::vector<int> waits(at(graph.nodes), 0);
  for (const RatioEdge& edge : graph.edges) waits[at(edge.to)] += edge.delay == 0 ? 1 : 0;
  std::vector<int> free;
  for (int node = 0; node < graph.nodes; ++node) {
    if (waits[at(node)] == 0) free.push_back(node);
  }
  int removed = 0;
  for (; !free.empty(); ++removed) {
    const int node = free.back();
    free.pop_back();
    for (std::size_t e = leaving.first[at(node)]; e < leaving.first[at(node) + 1]; ++e) {
      const RatioEdge& edge = leaving.edges[e];
      if (edge.delay == 0 && --waits[at(edge.to)] == 0) free.push_back(edge.to);
    }
  }
  return removed == graph.nodes;
}

CycleRatio max_cycle_ratio(const RatioGraph& graph) {
  if (graph.nodes == 0) return {};
  return Howard(graph).solve();
}

}  // namespace collie
