#include "actors/delay_options.hpp"

#include <algorithm>
#include <array>

#include "actors/schedule/expression.hpp"
#include "actors/schedule/horizons.hpp"

namespace collie {

namespace {

int promised(const std::string& bound, const Schedule& schedule, int stage) {
  const std::array<Variable, 4> variables = {{{"P", schedule.ranks()},
                                              {"S", schedule.stages()},
                                              {"s", stage},
                                              {"m", std::max(1, schedule.versions.step_every)}}};
  const Result<int> value = evaluate(bound, variables);
  COLLIE_CHECK(value.ok(), "schedule {}: contract '{}' is not proved", schedule.name, bound);
  return *value;
}

void predict(const Schedule& schedule, int stage, DelayCorrectionOptions& options) {
  const Horizons horizons =
      prediction_horizons(schedule, stage, promised(schedule.contract.staleness, schedule, stage));
  options.rule = DelayRule::prediction;
  options.forward_horizon = horizons.forward;
  options.backward_horizon = horizons.backward;
  options.once_per_group = schedule.versions.correction == Correction::xpipe;
  options.at_places = has_predictions(schedule, stage);
  options.backwards_read_predictions = schedule.versions.backward == VersionRule::predicted;
}

// Which version rules a correction is made for.
struct Defined {
  Correction correction;
  VersionRule forward;
  VersionRule backward;
  std::string_view rules;  // in words
};

constexpr std::array<Defined, 5> defined = {{
    {Correction::pipemare, VersionRule::latest, VersionRule::latest,
     "forward=latest backward=latest"},
    {Correction::spec_train, VersionRule::predicted, VersionRule::predicted,
     "forward=predicted backward=predicted"},
    {Correction::xpipe, VersionRule::predicted, VersionRule::predicted,
     "forward=predicted backward=predicted"},
    {Correction::pipe_optim, VersionRule::predicted, VersionRule::latest,
     "forward=predicted backward=latest"},
    {Correction::nesterov_delay, VersionRule::latest, VersionRule::stashed,
     "forward=latest backward=stashed"},
}};

}  // namespace

DelayCorrectionOptions delay_options(const Schedule& schedule, int stage) {
  const Versions& versions = schedule.versions;
  DelayCorrectionOptions options;
  if (schedule.contract.synchronous) return options;
  options.group = std::max(1, versions.step_every);
  switch (versions.correction) {
    case Correction::none:
      break;
    case Correction::pipemare:
      options.rule = DelayRule::discrepancy;
      options.staleness = promised(schedule.contract.staleness, schedule, stage);
      options.mismatch = promised(schedule.contract.mismatch, schedule, stage);
      options.anneal_updates = versions.anneal_steps;
      options.warm_up_updates = versions.warm_up_steps;
      break;
    case Correction::spec_train:
    case Correction::xpipe:
    case Correction::pipe_optim:
      predict(schedule, stage, options);
      break;
    case Correction::nesterov_delay:
      options.rule = DelayRule::look_ahead;
      break;
  }
  return options;
}

Status check_correction(const Schedule& schedule) {
  const Versions& versions = schedule.versions;
  const auto found = std::ranges::find(defined, versions.correction, &Defined::correction);
  if (found == defined.end()) {
    const bool predicts =
        versions.forward == VersionRule::predicted || versions.backward == VersionRule::predicted;
    if (!predicts) return ok_status();
    return make_error(ErrorCode::invalid_config,
                      "schedule {} reads predicted weights, but names no correction that predicts "
                      "them: spec-train, xpipe or pipe-optim",
                      schedule.name);
  }
  const bool counts_ranks =
      versions.correction == Correction::spec_train || versions.correction == Correction::xpipe;
  if (counts_ranks && schedule.placement.kind() != PlacementKind::linear) {
    return make_error(ErrorCode::unsupported,
                      "schedule {}: the horizons of spec-train and xpipe are defined for one stage "
                      "on each rank, not for placement {}; pipe-optim predicts on any",
                      schedule.name, schedule.placement.describe());
  }
  if (versions.forward == found->forward && versions.backward == found->backward) {
    return ok_status();
  }
  return make_error(ErrorCode::unsupported,
                    "schedule {}: its correction can be trained with for the versions {} alone",
                    schedule.name, found->rules);
}

}  // namespace collie
