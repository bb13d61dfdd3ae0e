#include "actors/topology.hpp"

#include "runtime/limits.hpp"

namespace collie {

std::string to_string(const ShardId& shard) {
  return fmt::format("replica {} stage {} shard {}", shard.replica, shard.stage, shard.tensor);
}

int index_of(const Grid& grid, const ShardId& shard) {
  return (shard.replica * grid.pp + shard.stage) * grid.tp + shard.tensor;
}

ShardId shard_at(const Grid& grid, int index) {
  return {index / (grid.pp * grid.tp), index / grid.tp % grid.pp, index % grid.tp};
}

std::vector<ShardId> tensor_group(const Grid& grid, const ShardId& shard) {
  std::vector<ShardId> group;
  for (int t = 0; t < grid.tp; ++t) group.push_back({shard.replica, shard.stage, t});
  return group;
}

std::vector<ShardId> replica_group(const Grid& grid, const ShardId& shard) {
  std::vector<ShardId> group;
  for (int r = 0; r < grid.dp; ++r) group.push_back({r, shard.stage, shard.tensor});
  return group;
}

std::vector<ShardId> tied_group(const Grid& grid, const ShardId& shard) {
  return {{shard.replica, 0, shard.tensor}, {shard.replica, grid.pp - 1, shard.tensor}};
}

Status check_grid(const Grid& grid) {
  const std::pair<const char*, int> axes[] = {
      {"grid.dp", grid.dp}, {"grid.tp", grid.tp}, {"grid.pp", grid.pp}};
  for (const auto& [name, size] : axes) {
    if (size < 1 || size > limits::grid_axis_max) {
      return make_error(ErrorCode::invalid_config, "{}: {} is not between 1 and {}", name, size,
                        limits::grid_axis_max);
    }
  }
  return ok_status();
}

}  // namespace collie
