// What shards do with each other's gradients at the end of a step. Every sum is taken in rank
// order.
#pragma once

#include <vector>

#include "actors/protocol/group_exchange.hpp"
#include "models/stage.hpp"

namespace collie {

// The exchanges of one shard, in the order all its peers perform them.
std::vector<Exchange> gradient_exchanges(const Grid& grid, const ShardId& self,
                                         const Parameters& parameters, bool tied_embeddings);

// This shard's contribution. For replica_sum and replica_gather it is the flat gradient itself:
// each rank writes only its own slice while the others read theirs, so nothing is copied. With
// ZeRO-1 a rank's slice is its share and the others have no use for it; with ZeRO-2 the owners have
// had the sums since the backward, and a tied table is replica 0's alone.
Tensor prepare_exchange(Stream& stream, StageModel& model, Purpose purpose);

// parts in rank order, the own one included.
void combine_exchange(Stream& stream, StageModel& model, const ShardId& self, Purpose purpose,
                      const std::vector<Tensor>& parts);

}  // namespace collie
