// What a schedule is made of. Throughout the project B means the full backward of a micro-batch; I
// is its input-gradient half and W its weight-gradient half (the zero-bubble papers call I "B").
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace collie {

enum class Verb : unsigned char {
  forward,          // F: one micro-batch forward through one stage
  backward_input,   // I: its input gradient
  backward_weight,  // W: its weight gradient
  backward,         // B = I then W
  recompute,        // R: the activations that F did not keep, before I or B
  step,             // STEP: the stage's gradients become an update
  pin,              // PIN: keep a version of the stage's weights for later readers
  drop,             // DROP: ... until here
  predict,          // PREDICT: make temporary weights, some updates ahead
  fence,            // FENCE: no action behind it starts before all before it are done, on all ranks
  // What lowering adds; see lowering.hpp.
  send_activation,
  receive_activation,
  send_gradient,
  receive_gradient,
  all_reduce,  // the gradients of a stage that several ranks hold (bidirectional placements)
  // What lowered programs of torch.distributed.pipelining say besides: kept, and no work to us.
  unshard,               // UNSHARD: gather the stage's sharded weights
  reshard,               // RESHARD: ... let them go again
  wait_send_activation,  // WAIT_SEND_F: until the send has left
  wait_send_gradient,    // WAIT_SEND_B
  wait_all_reduce,       // WAIT_REDUCE_GRAD
};

inline constexpr int verb_count = static_cast<int>(Verb::wait_all_reduce) + 1;

// F, I, W, B, R, STEP, ...: the letters of schedule files, and traces.
std::string_view letter(Verb verb);
std::optional<Verb> verb_named(std::string_view letters);

// Whether the verb names a micro-batch (F, I, W, B, R and messages), or a stage alone.
bool has_micro_batch(Verb verb);
bool is_computed(Verb verb);            // F, I, W, B: work of the model's
bool makes_input_gradient(Verb verb);   // I, B
bool makes_weight_gradient(Verb verb);  // W, B

struct Action {
  Verb verb = Verb::forward;
  int stage = 0;               // of the pipeline (a chunk of the model), not the rank
  int micro_batch = 0;         // 0-based within the schedule; PIN, DROP: the version; PREDICT: how
                               // many updates ahead, 0: as the correction says; else unused
  short slice = 0;             // of the sequence, where micro-batches are cut further (Seq1F1B)
  signed char direction = 0;   // 0: stages down the ranks; 1: the replica that runs up (Chimera)
  bool overlaps_next = false;  // runs side by side with the action after it (DualPipe's F&B)
  bool operator==(const Action&) const = default;
};

// "1F3": stage, verb, micro-batch; "1F3.2" slice 2; "1F3~" direction 1; "STEP1", "PIN1.4".
std::string to_string(const Action& action);

}  // namespace collie
