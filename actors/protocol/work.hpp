// What a protocol core asks for and hears back: commands out, completions in.
#pragma once

#include <memory>

#include "actors/messages.hpp"
#include "actors/protocol/version_uses.hpp"

namespace collie {

enum class WorkKind {
  begin_round,     // forget the gradients of the step before
  forward,         // tensor: input activation (undefined on the first stage)
  backward_input,  // tensor: gradient of the output (undefined on the last stage)
  backward_weight,
  backward,   // both, segment by segment: takes less memory, sends the gradient at its end
  recompute,  // what a forward with keeps_input has not kept
  predict,    // a PREDICT: make the weights that forwards (and backwards) behind it read
  fence,      // nothing: a FENCE that has been passed, for the trace
  resume,     // parts: every shard's part of the reduction the paused work declared
  prepare,    // make this shard's contribution to an exchange
  combine,    // parts: every rank's contribution, in rank order
  report,     // losses and sums of squares
  update,     // a STEP inside an asynchronous program: apply, clipped by the stage's own norm
  optimize,   // the end of a round: apply, unless its program did
  // With post-validation, of a shard that may have updated (optimize with keeps_copy):
  validate,   // the update stands: its copy and the gradients are not needed any more
  roll_back,  // it does not: parameters and optimizer state are again as before, to the last bit
  // ZeRO-3, beside the stream: parts of other replicas, to be copied into rooms of this shard's
  fetch,
};

// By unit of a stage's values and replica; undefined where the replica holds nothing of it.
using ValueTable = std::vector<std::vector<Tensor>>;

// One row of a turn (see GenerationCore): the prompt of a sequence or its last token.
struct TurnRow {
  int place = 0;              // which of the shard's caches it has
  std::int32_t id = 0;        // the token to take in; of a prompt, the batch has them
  std::int64_t position = 0;  // of it
  bool begins = false;        // a prompt: its cache is empty
  std::int64_t capacity = 0;  // ... and must have room for so many tokens
};

struct GenerationTurn {
  int group = 0;
  bool is_idle = false;  // nobody reads what it makes
  std::vector<TurnRow> rows;
  SamplingOptions sampling;
};

// One thing for an executor to do on the rank's stream. Works finish in the order they start.
struct Work {
  WorkKind kind = WorkKind::forward;
  ShardId shard;  // whose work it is, of those that the rank hosts
  Stamp stamp;
  Mode mode = Mode::train;
  MicroBatch batch;
  Tensor tensor;
  Purpose purpose = Purpose::forward;
  std::vector<Tensor> parts;
  Apply apply;
  double clip_norm = 0.0;        // update
  bool updates = true;           // optimize: false when the program has updated
  bool keeps_copy = false;       // optimize: may have to be rolled back
  bool keeps_gradients = false;  // begin_round: the update made from them is not validated yet
  bool measures = false;         // report: squares of gradients in replicas other than 0 too
  bool ends_backward = false;    // backward, backward_weight: the last of the shard's in its round
  VersionUse version;        // of the weights, where they are not those at the begin of the round
  bool keeps_input = false;  // forward: a recompute of the micro-batch will follow
  GenerationTurn turn;       // forward in Mode::generate
  std::shared_ptr<const ValueTable> values;  // ZeRO-3: what needs not be waited for; or null
};

struct Completion {
  WorkKind kind = WorkKind::forward;
  ShardId shard;
  Stamp stamp;
  // The work stopped at a declared reduction: tensor is this shard's part of it.
  bool paused = false;
  ReduceGroup group = ReduceGroup::tensor;  // ... of this group
  int only_to = -1;                         // the only rank of it that gets parts; -1: all
  int unit = -1;                            // ... at a gather of this unit of values
  std::vector<Tensor> parts;                // fetch: the copies, and the own part as it was
  Tensor tensor;  // forward: output; backward_input: input gradient; prepare: the contribution
  std::vector<std::int32_t> ids;  // forward in Mode::generate, last stage, tensor rank 0: drawn
  RoundReport report;
  StepDone done;
  std::optional<Error> error;
  double begin_s = 0.0, end_s = 0.0;  // on the stream, by the process's steady clock
};

struct Send {
  Address to;
  Message message;
};

using Command = std::variant<Send, Work>;
using Commands = std::vector<Command>;

}  // namespace collie
