// What the shards of a group tell each other: every shard sends its part to all others and goes on
// when it has all of theirs. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "actors/protocol/inbox.hpp"
#include "actors/protocol/work.hpp"

namespace collie {

// A sum (or gather) over a group of shards.
struct Exchange {
  Purpose purpose = Purpose::replica_sum;
  std::vector<ShardId> group;
  int rank = 0;  // of this shard in the group
  // The one rank that gets the parts; -1: all. The others wait for each other too, so none runs
  // ahead of who has to take its parts.
  int only_to = -1;
};

// One exchange under way, seen from one shard.
class PartCollection {
 public:
  // Sends the own part to the others. stamp says which round and micro-batch, sequence which
  // exchange of that purpose in it.
  void begin(Exchange exchange, const Stamp& stamp, std::uint32_t sequence, Tensor own_part,
             Commands& out);
  bool is_complete(const Inbox& inbox) const;
  // In rank order, the own part included; only when complete.
  std::vector<Tensor> take(Inbox& inbox);

 private:
  InboxKey key_from(int rank) const;

  Exchange exchange_;
  Stamp stamp_;
  std::uint32_t sequence_ = 0;
  Tensor own_part_;
};

// The reduction over a tensor or a replica group at which the work on a shard's stream is paused.
class PausedReduction {
 public:
  PausedReduction(const Grid& grid, const ShardId& self)
      : tensor_{{}, tensor_group(grid, self), self.tensor},
        replicas_{{}, replica_group(grid, self), self.replica} {}

  // Another work was started: its reductions count from 0, those of each group by themselves.
  void work_started() { tensor_sequence_ = replica_sequence_ = 0; }
  // The work has stopped: its completion carries this shard's part.
  void pause(const Completion& completion, Commands& out);
  // What lets the paused work go on, once, when all parts are there.
  std::optional<Work> resume_when_complete(Inbox& inbox);

  // The paused work was given up: it will not go on.
  void cancel() { paused_ = false; }

  bool is_paused() const { return paused_; }
  std::string describe() const;  // "reduction 2 of micro-batch 0"

 private:
  Exchange tensor_, replicas_;
  bool paused_ = false;
  Purpose purpose_ = Purpose::forward;
  Stamp stamp_;
  std::uint32_t sequence_ = 0;  // of the reduction it is paused at
  std::uint32_t tensor_sequence_ = 0, replica_sequence_ = 0;
  PartCollection parts_;
};

}  // namespace collie
