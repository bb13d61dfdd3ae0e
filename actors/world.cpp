#include "actors/world.hpp"

namespace collie {

void check_executors(const WorldOptions& options, const Executors& executors) {
  COLLIE_CHECK(executors.size() == static_cast<std::size_t>(options.grid.shard_count()),
               "{} executors for a grid of {} shards", executors.size(),
               options.grid.shard_count());
}

ShardCoreConfig shard_core_config(const WorldOptions& options, const ShardId& self,
                                  std::vector<Exchange> exchanges) {
  ShardCoreConfig config;
  config.run = options.run;
  config.grid = options.grid;
  config.self = self;
  config.program = options.schedule.programs[static_cast<std::size_t>(self.stage)];
  config.credit = options.credit;
  config.depth = options.grid.tp == 1 ? options.depth : 1;
  config.exchanges = std::move(exchanges);
  return config;
}

}  // namespace collie
