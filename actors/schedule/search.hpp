// Which schedule for these ranks, this memory, these costs? Every generator is tried with the
// parameters it takes (stages per rank, group sizes, slices, memory caps); what is left is the
// Pareto front of speed, memory and staleness. Pure.
#pragma once

#include <string>
#include <vector>

#include "actors/schedule/generators.hpp"
#include "actors/schedule/simulate.hpp"

namespace collie {

// Times and bytes are those of one rank's share of the model, so that schedules that cut it into
// more stages are compared on the same work.
struct SearchOptions {
  int ranks = 1;
  int micro_batches = 1;
  StageCosts costs = {};
  StageMemory memory = {};
  double latency = 0.0;
  double memory_cap = 0.0;  // of all memory of a rank; 0: none
  // Tried with generators that take them; 0: the generator's usual one.
  std::vector<int> chunks = {0, 2, 3, 4};
  std::vector<int> groups = {};  // empty: the usual one, 1, 2, half, all and twice the ranks, all
  std::vector<int> slices = {1, 2, 4};
  int candidates_max = 2000;  // more are an error, before any is tried
  bool asynchronous = true;   // also those whose updates are late
};

struct SearchCandidate {
  std::string_view generator;
  ScheduleOptions options;
  std::string schedule_name = {};
  double period = 0.0;      // time of the whole schedule in the steady state
  double throughput = 0.0;  // micro-batches per unit of time and rank
  double bubble = 0.0;      // idle share of the steady state
  double peak_memory = 0.0;
  int staleness = 0;
  bool on_front = false;  // no other is at least as good in all three and better in one
  std::string refused =
      {};  // why it is not in the running: the generator's, the validator's, memory
};

// All tried, those on the front first, then by throughput, then the refused ones. Two names for the
// same programs are tried once. invalid_config: nothing can be run at all, or too many to try.
Result<std::vector<SearchCandidate>> search_schedules(const SearchOptions& options);

// A model of one rank's share cut into this schedule's stages: what search and compare price with.
CostModel share_costs(const Schedule& schedule, const StageCosts& costs, const StageMemory& memory);

// "zbv --ranks 4 --micro-batches 8": what makes a candidate on the command line.
std::string arguments_of(std::string_view generator, const ScheduleOptions& options);

}  // namespace collie
