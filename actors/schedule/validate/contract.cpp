#include <algorithm>
#include <array>

#include "actors/schedule/expression.hpp"
#include "actors/schedule/horizons.hpp"
#include "actors/schedule/validate/checks.hpp"

namespace collie::checks {

namespace {

struct Bounds {
  int staleness = 0, mismatch = 0, versions = 1;
};

Result<int> bound(std::string_view what, const std::string& text,
                  std::span<const Variable> variables) {
  Result<int> value = evaluate(text, variables);
  if (value.ok()) return value;
  return make_error(ErrorCode::invalid_config, "contract {} '{}': {}", what, text,
                    value.error().message);
}

Result<Bounds> bounds_of(const Schedule& schedule, int stage) {
  const int group = schedule.versions.step_every;
  const std::array<Variable, 4> variables = {{{"P", schedule.ranks()},
                                              {"S", schedule.stages()},
                                              {"s", stage},
                                              {"m", group > 0 ? group : schedule.micro_batches}}};
  Bounds bounds;
  COLLIE_TRY(bounds.staleness, bound("staleness", schedule.contract.staleness, variables));
  COLLIE_TRY(bounds.mismatch, bound("mismatch", schedule.contract.mismatch, variables));
  COLLIE_TRY(bounds.versions, bound("versions", schedule.contract.versions, variables));
  return bounds;
}

// Whether the micro-batches of an update read one version.
struct Update {
  UnitVersions first;
  bool is_mixed = false;
};

class Proof {
 public:
  Proof(const Subject& subject, const VersionWalk& walk, Validation& result)
      : subject_(subject), schedule_(subject.schedule), walk_(walk), result_(result) {}

  std::vector<Violation> run() {
    for (int stage = 0; stage < schedule_.stages(); ++stage) {
      const Result<Bounds> bounds = bounds_of(schedule_, stage);
      if (!bounds.ok()) {
        report(Invariant::version_consistency, "{}", bounds.error().message);
        return std::move(violations_);
      }
      check_stage(stage, *bounds);
    }
    return std::move(violations_);
  }

 private:
  template <class... Args>
  void report(Invariant invariant, fmt::format_string<Args...> format, Args&&... args) {
    for (const Violation& known : violations_) {
      if (known.invariant == invariant) return;
    }
    violations_.push_back(violation(invariant, format, std::forward<Args>(args)...));
  }

  // Calls visit(micro-batch, what it read) for all units of a stage.
  template <class Visit>
  void for_each_unit(int stage, Visit&& visit) const {
    for (int mb = 0; mb < schedule_.micro_batches; ++mb) {
      for (int slice = 0; slice < schedule_.slices; ++slice) {
        const int direction = std::max(0, subject_.index.direction_of(mb));
        const Action unit{.stage = stage,
                          .micro_batch = mb,
                          .slice = static_cast<short>(slice),
                          .direction = static_cast<signed char>(direction)};
        visit(mb, walk_.units[subject_.index.unit_key(unit)]);
      }
    }
  }

  void check_stage(int stage, const Bounds& bounds) {
    StageVersions& versions = result_.versions[index_of(stage)];
    measure(stage, versions);
    if (versions.versions > bounds.versions) {
      report(Invariant::version_window,
             "stage {} has {} weight versions alive at once, but the contract promises at most {} "
             "(versions {})",
             stage, versions.versions, bounds.versions, schedule_.contract.versions);
    }
    for_each_unit(stage, [&](int mb, const UnitVersions& unit) {
      check_range(stage, mb, "staleness", unit.update - unit.forward, bounds.staleness);
      check_range(stage, mb, "mismatch", unit.backward - unit.forward, bounds.mismatch);
    });
    if (!schedule_.contract.synchronous) check_sequence(stage, bounds);
    check_horizons(stage, bounds);
  }

  // Of the PREDICTs that name one.
  void check_horizons(int stage, const Bounds& bounds) {
    const Horizons wanted = prediction_horizons(schedule_, stage, bounds.staleness);
    const int rank = schedule_.placement.rank_of(stage);
    for (const Action& action : schedule_.programs[index_of(rank)]) {
      if (action.verb != Verb::predict || action.stage != stage) continue;
      if (action.micro_batch == 0 || action.micro_batch == wanted.forward) continue;
      report(Invariant::version_consistency,
             "rank {} does {}, {} updates ahead, but by the schedule's correction forwards of "
             "stage {} are predicted {} ahead: write PREDICT{}",
             rank, to_string(action), action.micro_batch, stage, wanted.forward, stage);
    }
  }

  void check_range(int stage, int mb, std::string_view what, int value, int most) {
    if (value >= 0 && value <= most) return;
    const std::string& text =
        what == "staleness" ? schedule_.contract.staleness : schedule_.contract.mismatch;
    report(Invariant::version_consistency,
           "stage {} micro-batch {} has {} {}, but the contract promises 0 to {} ({} {})", stage,
           mb, what, value, most, what, text);
  }

  void measure(int stage, StageVersions& versions) const {
    bool has_steady = false;
    int last_update = 0;
    for_each_unit(stage, [&](int, const UnitVersions& unit) {
      has_steady = has_steady || unit.forward > 0;
      last_update = std::max(last_update, unit.update);
    });
    bool is_first = true;
    for_each_unit(stage, [&](int, const UnitVersions& unit) {
      if (has_steady ? unit.forward == 0 : unit.update != last_update) return;
      const int tau = unit.update - unit.forward;
      const int mu = unit.backward - unit.forward;
      versions.staleness_min = is_first ? tau : std::min(versions.staleness_min, tau);
      versions.staleness_max = is_first ? tau : std::max(versions.staleness_max, tau);
      versions.mismatch_min = is_first ? mu : std::min(versions.mismatch_min, mu);
      versions.mismatch_max = is_first ? mu : std::max(versions.mismatch_max, mu);
      is_first = false;
    });
  }

  // What delayed SGD would have read, update by update.
  void check_sequence(int stage, const Bounds& bounds) {
    std::vector<Update> updates;
    for_each_unit(stage, [&](int, const UnitVersions& unit) {
      if (unit.update < 0) return;
      if (updates.size() <= index_of(unit.update)) updates.resize(index_of(unit.update) + 1);
      Update& update = updates[index_of(unit.update)];
      if (update.first.update < 0) update.first = unit;
      update.is_mixed = update.is_mixed || update.first.forward != unit.forward ||
                        update.first.backward != unit.backward;
    });
    for (const Update& update : updates) {
      if (update.first.update < 0 || update.is_mixed) continue;
      const int u = update.first.update;
      const int synchronous = std::min(u, schedule_.versions.warm_up_steps);
      const int forward = std::max(synchronous, u - bounds.staleness);
      const int backward = std::min(u, forward + bounds.mismatch);
      if (update.first.forward == forward && update.first.backward == backward) continue;
      report(Invariant::async_equivalence,
             "update {} of stage {} is of gradients that read versions {} (forward) and {} "
             "(backward); delayed SGD with staleness {} and mismatch {} reads {} and {}",
             u, stage, update.first.forward, update.first.backward, bounds.staleness,
             bounds.mismatch, forward, backward);
    }
  }

  const Subject& subject_;
  const Schedule& schedule_;
  const VersionWalk& walk_;
  Validation& result_;
  std::vector<Violation> violations_;
};

}  // namespace

std::vector<Violation> contract(const Subject& subject, const VersionWalk& walk,
                                Validation& result) {
  result.versions = walk.stages;
  return Proof(subject, walk, result).run();
}

}  // namespace collie::checks
