// What a protocol core asks for and hears back: commands out, completions in.
#pragma once

#include "actors/messages.hpp"
#include "actors/protocol/version_uses.hpp"

namespace collie {

enum class WorkKind {
  begin_round,     // forget the gradients of the step before
  forward,         // tensor: input activation (undefined on the first stage)
  backward_input,  // tensor: gradient of the output (undefined on the last stage)
  backward_weight,
  backward,  // both, segment by segment: takes less memory, sends the gradient at its end
  resume,    // parts: every shard's part of the reduction the paused work declared
  prepare,   // make this shard's contribution to an exchange
  combine,   // parts: every rank's contribution, in rank order
  report,    // losses and sums of squares
  update,    // a STEP inside an asynchronous program: apply, clipped by the stage's own norm
  optimize,  // the end of a round: apply, unless its program did
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
  double clip_norm = 0.0;  // update
  bool updates = true;     // optimize: false when the program has updated
  VersionUse version;      // of the weights, where they are not those at the begin of the round
};

struct Completion {
  WorkKind kind = WorkKind::forward;
  ShardId shard;
  Stamp stamp;
  // The work stopped at a declared reduction: tensor is this shard's part of it.
  bool paused = false;
  Tensor tensor;  // forward: output; backward_input: input gradient; prepare: the contribution
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
