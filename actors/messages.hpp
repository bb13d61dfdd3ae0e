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
#include "models/sampling.hpp"
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

// What a round of Mode::generate goes on with and how. Replica r of dp takes the prompts whose
// number in the round leaves r when divided by dp; the feeder has them as micro-batches of one row,
// numbered from 0 in each replica, those behind the last prompt without rows.
struct GenerationSettings {
  int prompts = 0;                  // of all replicas
  int groups = 1;                   // of sequences, each of which is at one stage at a time
  int rows = 1;                     // sequences of a group, decoded together
  std::int64_t max_tokens = 0;      // new ones of a sequence
  std::int64_t context_length = 0;  // prompt and new tokens; every prompt is shorter
  SamplingOptions sampling;
  std::vector<std::int32_t> end_ids;  // a sequence ends at one of them; may be empty
  bool operator==(const GenerationSettings&) const = default;
};

struct GeneratedSequence {
  int prompt = 0;                 // its number in the round
  std::vector<std::int32_t> ids;  // new ones, without the end token
  FinishReason finish = FinishReason::max_tokens;
  bool operator==(const GeneratedSequence&) const = default;
};

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
  // Of runs with post-validation, else 0 and false: the round that goes before this one, and
  // whether a rank may begin this one once its own update of that one is done.
  std::uint32_t follows = 0;
  bool may_overtake = false;
  // The gradients of labels drawn from the model, of the first micro_batches of the step's, are to
  // renew the optimizer's curvature; nothing is updated.
  std::optional<LabelDraw> curvature = {};
  GenerationSettings generation = {};  // of Mode::generate
};

// The step's decision, the same for all: scale the gradients, then update.
struct Apply {
  Stamp stamp;
  std::int64_t optimizer_step = 0;  // 1 for the first update
  double learning_rate = 0.0;
  double gradient_scale = 1.0;
  bool want_hash = false;
  // With post-validation only: nothing is to be updated, and who has updated takes it back.
  bool is_refused = false;
  // With post-validation: the round that was begun on updates that do not stand, which is given up;
  // 0: none.
  std::uint32_t voided_round = 0;
  // Of a round that estimates curvature, how many labels were drawn: no parameter changes.
  std::optional<std::int64_t> curvature_tokens = {};
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
  optimizer,        // a reduction that an update declared, tensor group
  recompute,        // a reduction declared in recompute, tensor group
  replica_forward,  // reductions over the replica group, declared in the same five kinds of work
  replica_backward,
  replica_optimizer,
  replica_weights,
  replica_recompute,
  fence,          // no tensor: all before a FENCE is done, the ranks of a pipeline
  weights,        // a reduction of gradients or updates within the backward, tensor group
  value_request,  // ZeRO-3, no tensor: the sender has room for a unit of values, replica group
  values,         // ... and what the owner holds of it
};

struct Contribution {
  Stamp stamp;
  Purpose purpose = Purpose::forward;
  std::uint32_t sequence = 0;  // counts the reductions of one purpose and micro-batch
  int rank = 0;                // of the sender in the group
  Tensor tensor;
};

// ---- rank -> the next rank, and the other shards of its tensor group; with post-validation only
// What ranks 0..rank of the pipeline, of one tensor rank, know of the gradient. Goes to the first
// shard that the receiving rank hosts.
struct PartialNorm {
  Stamp stamp;
  int rank = 0;          // of the pipeline
  int tensor = 0;        // tensor rank
  double squares = 0.0;  // sum of squares of their parameters' gradients
  bool is_finite = true;
};

// ---- last stage, tensor rank 0 -> all shards of its replica; of every replica where they go on
// together (see GenerationCore)
struct Sampled {
  Stamp stamp;  // micro_batch: of the turn
  int replica = 0;
  std::vector<std::int32_t> ids;  // of each row of the turn; -1: its logits are no numbers
  bool is_idle = false;           // the group has nothing left to do in this replica
};

// ---- shards -> trainer
// ----------------------------------------------------------------------------
struct RoundReport {
  Stamp stamp;
  ShardId from;
  std::vector<double> losses;  // last stage, tensor rank 0: unscaled sum of each micro-batch
  std::vector<GeneratedSequence> generated;  // Mode::generate, the same shards
  // Evaluation, the same shards: unscaled sum of each row, of one micro-batch after the other.
  std::vector<double> row_losses;
  std::vector<double> squares;  // replica 0: sum of squares of each owned parameter's gradient
  // With ZeRO every replica's squares are those of its share, and 0 for the other parameters.
  bool is_share = false;
  std::string first_non_finite;  // name of the first parameter whose gradient is not finite
};

// How a rank spent a round's program: measured by its own clock, so ranks need no common one.
struct RankUse {
  bool is_measured = false;
  double busy_s = 0.0;    // computing on its stream; waits at reductions are not
  double span_s = 0.0;    // from its first action's begin to its last one's end
  int mailbox_depth = 0;  // most messages that waited in its inboxes at once
};

struct StepDone {
  Stamp stamp;
  ShardId from;
  RankUse use;                       // of the rank, from the first shard that it hosts
  std::uint64_t parameter_hash = 0;  // when asked for
  bool is_share = false;             // with ZeRO-3: of the own share alone
  std::size_t peak_bytes = 0;
  std::vector<TracedAction> trace;  // when asked for: what was done for this shard
  int rollbacks = 0;                // updates taken back and done again, with post-validation
};

struct Failed {
  Stamp stamp;
  Address from;
  Error error;
};

using Message = std::variant<BeginRound, Apply, Tokens, Activation, Gradient, Credit, Contribution,
                             RoundReport, StepDone, RoundData, Failed, PartialNorm, Sampled>;

const Stamp& stamp_of(const Message& message);

}  // namespace collie
