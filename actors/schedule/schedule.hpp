// A pipeline schedule is data: for each rank an ordered program of actions. Every stage actor walks
// its program; nothing else decides what runs when.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/result.hpp"

namespace collie {

enum class Verb {
  forward,          // F: one micro-batch forward through one stage
  backward_input,   // I: its input gradient
  backward_weight,  // W: its weight gradient
  backward,         // B = I then W
  step,             // STEP: reduce, clip, update
};

// F, I, W, B, STEP: the letters of schedule files and traces.
std::string_view letter(Verb verb);

struct Action {
  Verb verb = Verb::forward;
  int stage = 0;
  int micro_batch = 0;  // 0-based within the step; unused by STEP
  bool operator==(const Action&) const = default;
};

// "1F3": stage, verb, micro-batch.
std::string to_string(const Action& action);

struct Schedule {
  std::string name;
  int stages = 1;
  int micro_batches = 1;
  std::vector<std::vector<Action>> programs;  // one per rank
};

// GPipe (Huang et al. 2019): all forwards, then all backwards, micro-batches in order.
Schedule gpipe(int stages, int micro_batches);
// 1F1B (PipeDream-flush, Narayanan et al. 2021): at most stages - rank micro-batches in flight.
Schedule one_f_one_b(int stages, int micro_batches);
// Forwards only, for evaluation.
Schedule forward_only(int stages, int micro_batches);

// By the name a configuration uses: "gpipe", "1f1b". Unknown names are errors that list the known.
Result<Schedule> make_schedule(std::string_view name, int stages, int micro_batches);

// Proves by walking it that every rank reaches its end: each action happens once, its inputs are
// produced before it, and `credit` undelivered messages a link suffice. The error names the first
// blocked action of each stuck rank.
Status check_schedule(const Schedule& schedule, int credit);

// Most micro-batches whose activations a rank holds at once: what memory planning needs.
int peak_in_flight(const Schedule& schedule, int rank);

}  // namespace collie
