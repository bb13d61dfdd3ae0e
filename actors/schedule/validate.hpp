// Proves a schedule before anything runs. Linear in the number of actions.
#pragma once

#include <string>
#include <vector>

#include "actors/schedule/schedule.hpp"

namespace collie {

// The invariants, in the order in which they are checked. The first four decide whether the
// programs mean anything: where one of them fails, what is behind it is not looked at.
enum class Invariant {
  // One F of every unit (stage, micro-batch, slice), and one B or one I and one W; none twice; each
  // micro-batch in one direction only. Schedules without I, W, B and STEP are for evaluation: only
  // F.
  completeness,
  // Every action on the rank that holds its stage (in its direction).
  placement,
  // Order within a rank: F before I before W, R between F and I, a stage behind the one that feeds
  // it, slices up in F and down in I and B, each SEND behind the action that made its value. Order
  // across ranks is what deadlock proves.
  dependencies,
  // Every message is sent once and received once, by tag, before its reader; none within a rank;
  // FENCEs and REDUCE_GRADs are the same number on all ranks that take part.
  channels,
  // Exact: with the declared channel and credit; see event_graph.hpp.
  deadlock,
  // The peak of each rank within the cap. An activation counts from F, or from R where there is one
  // (the input that F then keeps is not counted), to W (or B): order alone decides it, whatever the
  // times.
  memory,
  // With PIN and DROP: no version is read that is neither the latest nor pinned; each PIN has its
  // DROP. With PREDICT: predicted weights are read behind one, and somebody reads them.
  // (Activations and messages: completeness and channels.)
  lifetime,
  // A version is read only when its STEP is behind, forwards read no older one than before, and at
  // most as many are alive at once as the contract says. Alive: from the STEP that made it to its
  // last reader, and the latest; with PIN and DROP what these say.
  version_window,
  // Staleness and mismatch of every micro-batch are at most those of the contract, and not
  // negative. A horizon that PREDICT names is that of the schedule's correction: see horizons.hpp.
  version_consistency,
  // Synchronous: one STEP per stage, behind the weight gradients of all micro-batches, all of the
  // same version; replicas are reduced before it.
  sync_equivalence,
  // Asynchronous: STEP u of a stage takes micro-batches [u a, (u+1) a), a = step_every, and the
  // sequence of (micro-batches, forward version, backward version) is that of delayed SGD with the
  // contract's tau and mu: max(0, u - tau) and min(u, that + mu). Where the micro-batches of one
  // STEP read different versions (local steps), tau and mu are bounds; see version_consistency.
  async_equivalence,
  // Weight gradients of a stage add up in micro-batch order, so that results do not depend on the
  // schedule, bit by bit.
  determinism,
  // Programs have no postponed checks (STEP is final): nothing to find in a static schedule.
  rollback,
  // R reads the version (or the prediction) that its F read; once for a unit.
  recompute,
  // Any order at all can finish a micro-batch within the memory cap.
  progress,
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
  // In updates, in the steady state: of the micro-batches whose forward read a version that a STEP
  // of this schedule made; where none did, of the last STEP.
  int staleness_min = 0, staleness_max = 0;
  int mismatch_min = 0, mismatch_max = 0;
  int versions = 1;         // alive at once, at most: what has to be stored
  int versions_in_use = 1;  // those of micro-batches on their way back, and the latest: what papers
                            // count; less than alive where a rule still needs some in between
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
