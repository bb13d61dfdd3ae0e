// Which rank hosts which shards of the grid, as a schedule's placement says. A grid counts stages
// and replicas, whoever holds them: the two directions of a bidirectional schedule are two
// replicas whose stages stand on mirrored ranks. Pure.
#pragma once

#include <vector>

#include "actors/protocol/rank_core.hpp"

namespace collie {

// What is simulated but not run yet is refused with a sentence: corrections of version rules that
// they are not defined for, asynchronous bidirectional schedules, asynchronous ones with slices.
Status check_trainable(const Schedule& schedule);

// Without PIN and DROP: in a run versions are kept for their last reader, which validation has
// proved to be the same.
Schedule as_trained(Schedule schedule);

// What actors call a micro-batch is a unit of the schedule: a micro-batch, or one slice of it. So
// every message of a slice has a stamp, an inbox key and a credit of its own, as if it were a
// micro-batch. action: numbered from 0 in its direction.
int unit_of(const Schedule& schedule, const Action& action);

// Micro-batches of one update; 0: all that a step has.
int group_of(const Schedule& schedule);

// The grid that a schedule makes of dp x tp x (its ranks).
Grid grid_of(const Schedule& schedule, int dp, int tp);

struct HostRank {
  std::vector<HostedShard> shards;       // exchanges are not filled in
  std::vector<Action> program;           // units numbered from 0 in each direction
  std::vector<VersionUse> version_uses;  // of an asynchronous program
};

// Replica-major, then rank, then tensor shard: with a linear placement the order of index_of.
std::vector<HostRank> host_ranks(const Grid& grid, const Schedule& schedule);

// What the shards of one pipeline (the first) did, by rank of the schedule, in the order and with
// the micro-batch numbers of its file. traces: of all shards, in the order of index_of; tensor
// shards do the same, so the first one's counts.
Trace rank_traces(const Grid& grid, const Schedule& schedule,
                  const std::vector<std::vector<TracedAction>>& traces);

// The position in host_ranks of each shard, in the order of index_of.
std::vector<std::size_t> hosts_of_shards(const Grid& grid, const Schedule& schedule);

}  // namespace collie
