// Proves a schedule before anything runs. Linear in the number of actions.
#pragma once

#include <string>
#include <vector>

#include "actors/schedule/schedule.hpp"

namespace collie {

// The invariants, in the order in which they are checked: later ones assume earlier ones.
enum class Invariant {
  completeness,         // one F, and one B or one I and one W, of every unit
  placement,            // every action on the rank that holds its stage
  dependencies,         // order within a rank, and what a message must have been made from
  channels,             // every message is sent once and received once, by tag
  deadlock,             // with the declared channel and credit
  memory,               // peak per rank within a cap
  lifetime,             // nothing is read after it was freed, nothing leaks
  version_window,       // versions are pinned while they have readers; at most as many as promised
  version_consistency,  // staleness and mismatch are what the contract says
  sync_equivalence,     // each STEP's gradients are those of its micro-batches, of one version
  async_equivalence,    // the update sequence is that of delayed SGD with the contract's staleness
  determinism,          // gradients of a stage add up in micro-batch order
  rollback,             // nothing leaves before a postponed check
  recompute,            // R reads the version its F read
  progress,             // a policy can always finish one micro-batch
};

std::string_view name_of(Invariant invariant);

struct Violation {
  Invariant invariant;
  std::string sentence;  // one line: the actions, ranks and numbers, and what would be right
  std::string picture;   // for a deadlock: the cycle as a small timeline, several lines; or empty
};

struct ValidationOptions {
  double memory_cap =
      0.0;  // per rank, in activations of one rank's share of a micro-batch; 0: none
};

struct StageVersions {
  int staleness_min = 0, staleness_max = 0;  // in the steady state, updates
  int mismatch_min = 0, mismatch_max = 0;
  int versions = 1;  // alive at once, at most
};

struct Validation {
  std::vector<Violation> violations;     // the first of each invariant; empty: proved
  int minimum_credit_tagged = 0;         // -1: deadlock at any depth
  int minimum_credit_fifo = 0;           // -1: deadlock at any depth
  std::vector<double> peak_activations;  // per rank, in activations of one rank's share
  std::vector<StageVersions> versions;   // per stage
  bool ok() const { return violations.empty(); }
};

Validation validate(const Schedule& schedule, const ValidationOptions& options = {});

// The first violation as an error with its sentence; what a run asks before it starts.
Status check_schedule(const Schedule& schedule);

}  // namespace collie
