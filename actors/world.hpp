// A world runs the protocol cores of one grid. The simulated world drives them with a seeded order
// of events in the caller's thread; the local world with CAF actors and real streams. What a round
// computes is the same in both.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "actors/protocol/feeder_core.hpp"
#include "actors/protocol/trainer_core.hpp"
#include "actors/shard_executor.hpp"

namespace collie {

struct WorldOptions {
  std::uint64_t run = 1;
  Grid grid;
  Schedule schedule;  // for training rounds
  int credit = limits::link_credit_default;
  int depth = 1;  // see ShardCoreConfig
  BatchSource batches;
};

class World {
 public:
  virtual ~World() = default;
  // One training step or one evaluation, to its end. After non_finite the parameters are as they
  // were before the round and the next one may follow; any other error ends the world, and later
  // rounds return it again.
  virtual Result<RoundOutcome> round(const RoundRequest& request) = 0;
};

// The core of one shard, set up for its place in the grid.
ShardCoreConfig shard_core_config(const WorldOptions& options, const ShardId& self,
                                  std::vector<Exchange> exchanges);

// Executors are borrowed, one for each shard in the order of index_of, and must outlive the world.
using Executors = std::vector<ModelExecutor*>;
void check_executors(const WorldOptions& options, const Executors& executors);

// scheduler_threads: of the actor system; the shards' streams have threads of their own.
std::unique_ptr<World> make_local_world(WorldOptions options, const Executors& executors,
                                        int scheduler_threads);

struct SimulationOptions {
  std::uint64_t seed = 0;
  double duplicate_probability = 0.0;  // a message is delivered twice
  bool reorder = false;                // messages of one pair may overtake each other
};

// Executors must have been made with inline streams. Tensors are real; only the order of events is
// drawn from the seed.
std::unique_ptr<World> make_simulated_world(WorldOptions options, Executors executors,
                                            SimulationOptions simulation);

}  // namespace collie
