// What the two interleaved generators share.
#pragma once

#include <algorithm>
#include <vector>

#include "actors/schedule/generators.hpp"

namespace collie {

// The order in which a rank runs its chunks' micro-batches forwards: groups of micro-batches, in
// each of them all chunks ascending (Megatron's schedule table; the last group may be short). The
// backwards follow the same table with the chunks reversed.
class InterleavedTable {
 public:
  // An error where the groups cannot work.
  static Result<InterleavedTable> make(std::string_view name, const ScheduleOptions& options);

  int chunks() const { return chunks_; }
  // Forwards of a rank before its first backward, where each rank is to be `skew` forwards ahead of
  // the next one. Ranks that are further apart than two groups would wait for each other; so small
  // groups, which Megatron-LM refuses, bring them closer.
  int warm_up(int rank, int skew) const {
    return (chunks_ - 1) * group_ + std::min(skew * (ranks_ - 1 - rank), 2 * smallest_group_);
  }
  // Messages to a rank's next chunk wait while it runs the rest of a group of the chunk before.
  // Where groups are as long as the ranks, and a rank is two ahead of the next one, they come just
  // in time.
  int credit(int skew) const {
    const bool in_time = skew == 2 && group_ == ranks_ && smallest_group_ == ranks_;
    return in_time ? Channel{}.credit : std::max(Channel{}.credit, group_);
  }
  int size() const { return static_cast<int>(units_.size()); }
  Action forward_at(int rank, int k) const { return at(Verb::forward, rank, k, false); }
  // verb: B, I or W.
  Action backward_at(Verb verb, int rank, int k) const { return at(verb, rank, k, true); }

 private:
  struct Unit {
    int chunk;
    int micro_batch;
  };
  InterleavedTable(int ranks, int chunks, int group, int micro_batches);
  Action at(Verb verb, int rank, int k, bool reversed) const {
    const Unit& unit = units_[static_cast<std::size_t>(k)];
    const int chunk = reversed ? chunks_ - 1 - unit.chunk : unit.chunk;
    return {verb, chunk * ranks_ + rank, unit.micro_batch};
  }

  int ranks_;
  int chunks_;
  int group_;
  int smallest_group_;  // of several; of one the table makes no rank wait
  std::vector<Unit> units_;
};

}  // namespace collie
