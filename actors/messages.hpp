// Every message of the training protocol. Plain data: the pure protocol cores, the simulated world
// and the CAF shells all speak these. In one process a tensor travels as a reference to a frozen
// buffer; between processes the header travels by CAF and the bytes by a link.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "actors/schedule/conformance.hpp"
#include "actors/topology.hpp"
#include "models/batch.hpp"
#include "models/segment.hpp"
#include "runtime/tensor.hpp"

namespace collie {

// When a message belongs. A round is one training step or one evaluation; rounds count up over a
// run. A message of another run or generation is stale: counted and dropped.
struct Stamp {
  std::uint64_t run = 0;
  std::uint32_t generation = 0;
  std::uint32_t round = 0;
  std::uint32_t micro_batch = 0;
};

enum class Role { trainer, feeder, shard };

struct Address {
  Role role = Role::trainer;
  ShardId shard;  // meaningful for Role::shard
  bool operator==(const Address&) const = default;
};

inline Address shard_address(const ShardId& shard) {
  return {Role::shard, shard};
}

// ---- trainer -> shards, feeder
// -------------------------------------------------------------------
struct BeginRound {
  Stamp stamp;
  Mode mode = Mode::train;
  int micro_batches = 0;  // per replica
  std::int64_t step = 0;  // which training step (or, for Mode::evaluate, which batches)
  // For asynchronous schedules, whose stages update while the round runs.
  double learning_rate = 0.0;
  double clip_norm = 0.0;  // of each stage's gradient alone; 0: no clipping
  bool want_trace = false;
};

// The step's decision, the same for all: scale the gradients, then update.
struct Apply {
  Stamp stamp;
  std::int64_t optimizer_step = 0;  // 1 for the first update
  double learning_rate = 0.0;
  double gradient_scale = 1.0;
  bool want_hash = false;
};

// ---- feeder -> shards
// ----------------------------------------------------------------------------
struct Tokens {
  Stamp stamp;
  MicroBatch batch;
};

// How much data a round has: what the trainer divides the summed losses by.
struct RoundData {
  Stamp stamp;
  std::int64_t valid_tokens = 0;  // of the whole global batch
  std::int64_t tokens = 0;        // padding included
};

// ---- shard -> shard of the next / previous stage
// --------------------------------------------------
struct Activation {
  Stamp stamp;
  Tensor tensor_td;
};

struct Gradient {
  Stamp stamp;
  Tensor tensor_td;
};

enum class Link { activation, gradient };

// One message of that link has been taken from the inbox: its sender may send one more.
struct Credit {
  Stamp stamp;
  Link link = Link::activation;
};

// ---- shard -> the shards of one of its groups
// ------------------------------------------------------
enum class Purpose {
  forward,          // a reduction that a segment declared in forward, tensor group
  backward,         // the same in backward
  shard_gradients,  // gradients of parameters that several tensor shards hold, tensor group
  tied_gradients,   // embedding's and head's gradient of a tied embedding, tied group
  replica_sum,      // gradients of all replicas; each sums its slice, replica group
  replica_gather,   // the summed slices come back, replica group
};

struct Contribution {
  Stamp stamp;
  Purpose purpose = Purpose::forward;
  std::uint32_t sequence = 0;  // counts the reductions of one purpose and micro-batch
  int rank = 0;                // of the sender in the group
  Tensor tensor;
};

// ---- shards -> trainer
// ----------------------------------------------------------------------------
struct RoundReport {
  Stamp stamp;
  ShardId from;
  std::vector<double> losses;    // last stage, tensor rank 0: unscaled sum of each micro-batch
  std::vector<double> squares;   // replica 0: sum of squares of each owned parameter's gradient
  std::string first_non_finite;  // name of the first parameter whose gradient is not finite
};

struct StepDone {
  Stamp stamp;
  ShardId from;
  std::uint64_t parameter_hash = 0;  // when asked for
  std::size_t peak_bytes = 0;
  std::vector<TracedAction> trace;  // when asked for: what was done for this shard
};

struct Failed {
  Stamp stamp;
  Address from;
  Error error;
};

using Message = std::variant<BeginRound, Apply, Tokens, Activation, Gradient, Credit, Contribution,
                             RoundReport, StepDone, RoundData, Failed>;

const Stamp& stamp_of(const Message& message);

}  // namespace collie
