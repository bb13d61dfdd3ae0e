// One short function per published schedule, named after its paper. Each says what it needs of its
// arguments; one that gets something else returns an error with a sentence. The programs end with
// STEP for every stage a rank holds where the schedule is synchronous.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "actors/schedule/schedule.hpp"

namespace collie {

struct ScheduleOptions {
  int ranks = 1;
  int micro_batches = 1;  // for asynchronous ones: of the whole file
  int chunks = 0;         // per rank, where the schedule takes a number; 0: its usual one
  int group = 0;          // micro-batches of a group (interleaved), of a STEP (2BW, PACI); 0: usual
  int slices = 1;         // of a micro-batch along the sequence (Seq1F1B)
  int warm_up_steps = 0;  // synchronous STEPs before the asynchronous ones (PipeMare's T3)
  // For generators that plan with costs: seconds (or any unit) of one chunk, and activation memory
  // in units of one micro-batch on one rank. memory_cap 0: the generator's usual one.
  double forward = 1.0, input = 1.0, weight = 1.0, communication = 0.0;
  double activation = 1.0;    // bytes that F keeps (M_B)
  double weight_stash = 0.5;  // of these, what stays between I and W (M_W)
  double memory_cap = 0.0;    // in the same bytes, per rank
  bool operator==(const ScheduleOptions&) const = default;
};

// The optional arguments that a schedule takes. One that it does not take may be left out or be
// what the schedule has anyway; times and memory_cap then mean nothing.
struct Takes {
  int chunks = 1;  // per rank, both directions counted; 0: any number
  bool group = false;
  bool slices = false;
  bool warm_up_steps = false;
  bool times = false;
  bool memory_cap = false;
};

struct ScheduleGenerator {
  std::string_view name;    // "1f1b": what configurations and commands say
  std::string_view title;   // "1F1B (PipeDream-Flush, DAPPLE)"
  std::string_view source;  // "Narayanan et al., ICML 2021"
  bool asynchronous = false;
  Takes takes = {};
  std::string_view needs = {};  // what else it wants of its arguments; its errors say it in full
  Result<Schedule> (*generate)(const ScheduleOptions& options);  // call it through make_schedule
};

// All of them, one line each, in the order in which a list shows them.
const std::vector<ScheduleGenerator>& schedule_generators();
// By its name; null: there is none.
const ScheduleGenerator* find_generator(std::string_view name);
// "--chunks, --group; 2 chunks or more": for lists; "-": nothing.
std::string arguments_taken(const ScheduleGenerator& generator);

// By the name a configuration uses. Errors: an unknown name (suggests the nearest), an argument out
// of bounds (limits.hpp) or that the schedule does not take, and what the schedule cannot do.
Result<Schedule> make_schedule(std::string_view name, const ScheduleOptions& options);

// Forwards only, for evaluation, on the same placement as another schedule.
Schedule forward_only(const Placement& placement, int micro_batches);

}  // namespace collie
