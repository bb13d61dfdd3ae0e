// Updating before the global gradient norm is known: the bypass of the optimizer's barrier of the
// Zero Bubble paper (Qi et al. 2023, section 4). A rank adds the squares of its own gradients to
// what the ranks before it know and hands the sum on. Where that partial norm asks for nothing
// (all finite, no clipping) the rank updates at once, unscaled, and begins the next round's
// forwards; else the scale cannot be known yet, and it waits. The trainer's Apply, made from the
// squares of all in its own order, is what every rank then validates its update against, so the
// partial norm decides how early a rank goes on, never what it computes. Pure.
//
// The price: from the early update until its validation a shard keeps a copy of its trained
// parameters and their optimizer state: 4 bytes a parameter, 2 for a bfloat16 copy of it, and what
// the optimizer holds (AdamW 8, SGD with momentum 4). AdamW's algebraic inverse would take nothing
// but is not exact in floating point.
#pragma once

#include <optional>
#include <vector>

#include "actors/protocol/inbox.hpp"
#include "actors/protocol/work.hpp"

namespace collie {

// A rank's place among those that hand partial norms on. A rank is addressed by the first shard
// that it hosts.
struct NormChain {
  bool is_used = false;              // train.post_validation
  int rank = 0;                      // of the pipeline
  int tensor = 0;                    // tensor rank
  std::vector<ShardId> peers = {};   // on this rank, by tensor rank; the own one included
  std::optional<ShardId> next = {};  // on the next rank, of the same tensor rank
};

// What one rank knows of the round's norm.
class PostValidation {
 public:
  // shards: hosted ones that will be measured; of a bidirectional placement one direction is
  // enough, for the other holds the same gradients.
  PostValidation(NormChain chain, int shards) : chain_(std::move(chain)), shards_(shards) {}

  void begin_round(const Stamp& stamp, double clip_norm);
  // One of those shards has reported.
  void measured(const RoundReport& report);
  // Hands on what is complete. True once a round: when all shards of the tensor group are known to
  // update at once. All of them decide from the same numbers.
  bool may_step(Inbox& inbox, Commands& out);

 private:
  bool hand_on(Inbox& inbox, Commands& out);

  NormChain chain_;
  int shards_;
  Stamp stamp_;
  double clip_norm_ = 0.0;
  int measured_ = 0;
  PartialNorm partial_;  // of ranks 0..this
  bool handed_on_ = false;
  bool decided_ = false;
};

}  // namespace collie
