// What people leave out of schedule files and stage actors need: messages and reductions. A pure
// pass from one schedule to another; each level prints as text. Linear in the number of actions.
#pragma once

#include <string>

#include "actors/schedule/schedule.hpp"

namespace collie {

// Adds, where two neighbouring stages are on different ranks (within a rank nothing travels),
//   sSEND_F m  right after the sFm whose activation it carries; sRECV_F m right before its reader,
//   sSEND_B m  right after sIm or sBm;                          sRECV_B m right before its reader,
// and REDUCE_GRADs before a STEP of a stage that two ranks hold (bidirectional placements). A send
// names the stage that made the value, a receive the stage that reads it. Actions that overlap stay
// neighbours: they receive before the first of them and send after the last. The reductions of
// consecutive STEPs stand before the first of these, by ascending stage: the same order on every
// rank. Where the file already has messages (or reductions), it is taken as it is written.
Schedule lower(const Schedule& schedule);

// One line per rank: "rank 0: 0F0 0SEND_F0 ...".
std::string print_programs(const Schedule& schedule);

// Which message a SEND or RECV is about. The same for the two ends.
struct ScheduleMessage {
  bool is_gradient = false;
  int from_stage = 0;  // that made it
  int to_stage = 0;    // that reads it; out of range where there is no such stage
};
bool is_send(Verb verb);
bool is_receive(Verb verb);
ScheduleMessage message_of(const Action& send_or_receive);

// The stage whose result an F, I or B reads; -1: none (the data, or the loss).
int source_stage(const Schedule& schedule, const Action& action);

}  // namespace collie
