// The thin CAF shells around the pure cores: they carry messages, and decide nothing.
#pragma once

#include <map>

#include "actors/caf_messages.hpp"
#include "actors/protocol/feeder_core.hpp"
#include "actors/protocol/rank_core.hpp"
#include "actors/shard_executor.hpp"

namespace collie {

struct RankState {
  static inline const char* name = "rank";
  std::unique_ptr<RankCore> core;
  std::map<ShardId, ModelExecutor*> executors;  // of the hosted shards
  std::shared_ptr<const Directory> directory;
};
caf::behavior rank_actor(caf::stateful_actor<RankState>* self,
                         const std::shared_ptr<const RankCoreConfig>& config,
                         const std::map<ShardId, ModelExecutor*>& executors);

struct FeederState {
  static inline const char* name = "feeder";
  std::shared_ptr<FeederCore> core;
  std::shared_ptr<const Directory> directory;
};
caf::behavior feeder_actor(caf::stateful_actor<FeederState>* self,
                           std::shared_ptr<FeederCore> core);

// The actor behind an address.
const caf::actor& actor_at(const Directory& directory, const Address& address);

}  // namespace collie
