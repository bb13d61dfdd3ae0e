// The greatest ratio of weight to delay over the cycles of a graph: the eigenvalue of a max-plus
// linear system (Cohen, Dubois, Quadrat and Viot 1985), by Howard's policy iteration
// (Cochet-Terrasson, Cohen, Gaubert, McGettrick and Quadrat 1998). Pure.
#pragma once

#include <vector>

namespace collie {

struct RatioEdge {
  int from = 0, to = 0;
  double weight = 0.0;
  int delay = 0;
};

struct RatioGraph {
  int nodes = 0;
  std::vector<RatioEdge> edges;
};

struct CycleRatio {
  double ratio = 0.0;
  std::vector<int> nodes;  // of a cycle that has it, in order
};

// Whether every cycle has a delay in it.
bool delays_break_all_cycles(const RatioGraph& graph);

// Every node must have an edge that leaves it, and delays must break all cycles.
CycleRatio max_cycle_ratio(const RatioGraph& graph);

}  // namespace collie
