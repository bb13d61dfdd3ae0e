// A world runs the protocol cores of one grid. The simulated world drives them with a seeded order
// of events in the caller's thread; the local world with CAF actors and real streams. What a round
// computes is the same in both.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "actors/hosting.hpp"
#include "actors/protocol/feeder_core.hpp"
#include "actors/protocol/trainer_core.hpp"
#include "actors/shard_executor.hpp"

namespace collie {

struct WorldOptions {
  std::uint64_t run = 1;
  Grid grid;
  Schedule schedule;            // for training rounds; grid is grid_of() it
  int depth = 1;                // see RankCoreConfig
  bool post_validates = false;  // see protocol/post_validation.hpp; synchronous schedules only
  BatchSource batches;
};

class World {
 public:
  virtual ~World() = default;
  // One training step or one evaluation, to its end. After non_finite the parameters are as they
  // were before the round and the next one may follow; any other error ends the world, and later
  // rounds return it again.
  // next: what will be asked for after it, if that is certain: see TrainerCore::begin. Without it
  // the world is still when the round has ended, and what the executors hold is validated.
  virtual Result<RoundOutcome> round(const RoundRequest& request,
                                     const std::optional<RoundRequest>& next) = 0;
  Result<RoundOutcome> round(const RoundRequest& request) { return round(request, std::nullopt); }
};

// Executors are borrowed, one for each shard in the order of index_of, and must outlive the world.
using Executors = std::vector<ModelExecutor*>;
void check_executors(const WorldOptions& options, const Executors& executors);

// Gives the shards that one rank hosts one stream.
class RankStreams {
 public:
  RankStreams(const Grid& grid, const Schedule& schedule)
      : hosts_(hosts_of_shards(grid, schedule)), streams_(hosts_.size()) {}
  // Of the shard at `index` in the order of index_of: fills in what says which stream it has.
  void assign(int index, ModelExecutorOptions& options);

 private:
  std::vector<std::size_t> hosts_;
  std::vector<std::shared_ptr<Stream>> streams_;  // by rank
};

// The cores of all ranks, set up for their places, in the order of host_ranks.
std::vector<RankCoreConfig> rank_core_configs(const WorldOptions& options,
                                              const Executors& executors);

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
