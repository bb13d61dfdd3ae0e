// The thin CAF shells around the pure cores: they carry messages, and decide nothing.
#pragma once

#include "actors/caf_messages.hpp"
#include "actors/protocol/feeder_core.hpp"
#include "actors/protocol/shard_core.hpp"
#include "actors/shard_executor.hpp"

namespace collie {

struct ShardState {
  static inline const char* name = "shard";
  std::unique_ptr<ShardCore> core;
  ModelExecutor* executor = nullptr;
  std::shared_ptr<const Directory> directory;
};
caf::behavior shard_actor(caf::stateful_actor<ShardState>* self,
                          const std::shared_ptr<const ShardCoreConfig>& config,
                          ModelExecutor* executor);

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
