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

// The reduction over a tensor group at which the work on a shard's stream is paused.
class PausedReduction {
 public:
  // group: see tensor_group(); rank: of this shard in it.
  PausedReduction(std::vector<ShardId> group, int rank) : group_(std::move(group)), rank_(rank) {}

  // Another work was started: its reductions count from 0.
  void work_started() { sequence_ = 0; }
  // The work has stopped: its completion carries this shard's part.
  void pause(const Completion& completion, Commands& out);
  // What lets the paused work go on, once, when all parts are there.
  std::optional<Work> resume_when_complete(Inbox& inbox);

  bool is_paused() const { return paused_; }
  std::string describe() const;  // "reduction 2 of micro-batch 0"

 private:
  std::vector<ShardId> group_;
  int rank_;
  bool paused_ = false;
  Purpose purpose_ = Purpose::forward;
  Stamp stamp_;
  std::uint32_t sequence_ = 0;
  PartCollection parts_;
};

}  // namespace collie
