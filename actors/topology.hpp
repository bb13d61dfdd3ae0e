// The grid of shards: data-parallel replicas x pipeline stages x tensor shards. Pure arithmetic.
#pragma once

#include <compare>
#include <string>
#include <vector>

#include "runtime/result.hpp"

namespace collie {

struct Grid {
  int dp = 1;  // replicas
  int tp = 1;  // tensor shards of a stage
  int pp = 1;  // pipeline stages
  int shard_count() const { return dp * tp * pp; }
  bool operator==(const Grid&) const = default;
};

struct ShardId {
  int replica = 0;
  int stage = 0;
  int tensor = 0;
  auto operator<=>(const ShardId&) const = default;
};

// "replica 0 stage 1 shard 0", as errors and traces name a shard.
std::string to_string(const ShardId& shard);

// Position in the flat order replica-major, then stage, then tensor shard.
int index_of(const Grid& grid, const ShardId& shard);
ShardId shard_at(const Grid& grid, int index);

// The shards that hold the same stage of the same replica, in tensor rank order.
std::vector<ShardId> tensor_group(const Grid& grid, const ShardId& shard);
// The shards that hold the same parameters in every replica, in replica order.
std::vector<ShardId> replica_group(const Grid& grid, const ShardId& shard);
// First and last stage of the same replica and tensor rank: the two users of a tied embedding.
std::vector<ShardId> tied_group(const Grid& grid, const ShardId& shard);

Status check_grid(const Grid& grid);

}  // namespace collie
