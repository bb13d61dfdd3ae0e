// What actions and messages cost: a cost model checked against the schedule it prices. Pure.
#pragma once

#include "actors/schedule/simulate.hpp"

namespace collie {

class Pricer {
 public:
  // An error names the cost that is missing, negative or not finite.
  static Result<Pricer> make(const Schedule& schedule, const CostModel& costs);

  // has_recompute: an R is written for the action's micro-batch.
  double seconds(const Action& action, int step, bool has_recompute) const;
  // Of two that run side by side, `separate` seconds one after the other.
  double seconds_of_pair(const Action& first, const Action& second, int step,
                         double separate) const;
  // From the end of an action of that stage to the arrival of its output on another rank.
  double message_seconds(int stage) const;
  double reduction_seconds(int stage) const;
  // Of keeping a version of the stage's weights.
  double copy_seconds(int stage) const { return costs_.stage(stage).copy; }
  bool has_copies() const;  // that cost anything
  const StageMemory& memory_of(int stage) const { return costs_.memory_of(stage); }
  double slice_share() const { return slice_share_; }
  const CostModel& model() const { return costs_; }
  // The same costs, without jitter.
  Pricer without_jitter() const;

 private:
  Pricer(CostModel costs, double slice_share)
      : costs_(std::move(costs)), slice_share_(slice_share) {}
  double mean_seconds(const Action& action, bool has_recompute) const;
  double jitter_factor(const Action& action, int step) const;
  double transfer_seconds(double bytes) const;

  CostModel costs_;
  double slice_share_;  // of a micro-batch
};

}  // namespace collie
