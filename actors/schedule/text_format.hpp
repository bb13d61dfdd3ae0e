// Schedule files, "collie schedule" format 1: readable text that a person writes by hand and every
// tool here reads and prints. `#` starts a comment. Blanks and line ends separate words.
//
//   schedule 1                      # first, and what makes it a schedule file
//   name my-1f1b                    # or "two words"
//   ranks 4
//   placement linear                # looped CHUNKS | wave CHUNKS | bidirectional | table 0,1,1,0
//   stages 4                        # optional: must be what the placement gives
//   micro-batches 8                 # of the whole file
//   slices 1                        # of a micro-batch (Seq1F1B)
//   channel tagged credit=2         # fifo credit=N | rendezvous
//   versions forward=latest backward=stashed correction=none step-every=0 warm-up=0
//            # forward, backward: latest stashed previous-group vertical predicted
//            # correction: none pipemare spec-train xpipe pipe-optim nesterov-delay
//            # anneal-steps=N: updates until PipeMare's learning rate is the whole one
//   contract synchronous            # or staleness=S-1-s mismatch=0 versions=S-s
//   policy I W B F in-flight=4      # optional: who chooses among what may start; see Policy
//   rank 0..3:                      # or rank 2: (several parts of one rank follow each other)
//     repeat k 0..{P-2-r} { {r}F{k} }
//     repeat k {P-1-r}..{m-1} { {r}F{k} {r}B{k-P+1+r} }
//     STEP{r}
//
// An action is what to_string(Action) prints: 1F3, 1F3.2 (slice), 1F3~ (direction 1), STEP1, PIN1.4
// (stage, version), DROP1.4, PREDICT1 or PREDICT1.3 (updates ahead), FENCE, and the lowered verbs
// 1SEND_F3, REDUCE_GRAD1, ... Two that run side by side are (0F4;7B0). A {expression} (see
// expression.hpp) may stand wherever a number stands; it knows r (the rank), P (ranks), S (stages),
// M (micro-batches of the file), m (of one STEP) and the names of the repeats around it. `repeat k
// 0..7 { ... }` runs its body for k = 0 to 7, both included; one whose end is before its begin is
// skipped.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "actors/schedule/schedule.hpp"
#include "runtime/limits.hpp"

namespace collie {

// file is named in errors, which read "FILE:LINE:COLUMN: sentence" (columns in bytes, from 1). What
// is read is well formed: every stage, micro-batch, slice and direction is one that the schedule
// has. Whether it makes sense is validate()'s question. actions_max bounds the actions after
// repeats, and with them time and memory.
Result<Schedule> parse_schedule(std::string_view text, std::string_view file,
                                std::size_t actions_max = limits::schedule_actions_max);

struct ScheduleTextOptions {
  bool with_repeats = false;  // runs that differ only in their micro-batch are folded
};

// Reads back as an equal schedule, given one that is well formed in the sense above.
std::string to_text(const Schedule& schedule, const ScheduleTextOptions& options = {});

}  // namespace collie
