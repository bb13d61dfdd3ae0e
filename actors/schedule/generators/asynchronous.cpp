#include "actors/schedule/generators/all.hpp"
#include "actors/schedule/generators/build.hpp"

namespace collie {

namespace {

// How an asynchronous schedule differs from 1F1B without a flush.
struct Asynchronous {
  int group = 1;  // micro-batches of a STEP
  int skew = 1;   // micro-batches by which a rank is ahead of the next one
  Versions versions = {};
  Contract contract = {};
};

// 1F1B over the whole file, and STEP behind the last backward of each group.
Result<Schedule> without_flush(std::string_view name, const ScheduleOptions& options,
                               const Asynchronous& kind) {
  const int count = options.micro_batches;
  if (count % kind.group != 0) {
    return make_error(ErrorCode::invalid_config,
                      "schedule {}: {} micro-batches are not whole groups of {}, one for each "
                      "update; use a multiple",
                      name, count, kind.group);
  }
  Schedule schedule = empty_schedule(name, Placement::linear(options.ranks), count);
  schedule.versions = kind.versions;
  schedule.versions.step_every = kind.group;
  schedule.contract = kind.contract;
  schedule.contract.synchronous = false;
  const int flushed = kind.versions.warm_up_steps * kind.group;
  for (int rank = 0; rank < options.ranks; ++rank) {
    auto& program = schedule.programs[static_cast<std::size_t>(rank)];
    const auto backward = [&](int mb) {
      program.push_back({Verb::backward, rank, mb});
      if ((mb + 1) % kind.group == 0) program.push_back({Verb::step, rank});
    };
    for (int begin = 0; begin < flushed; begin += kind.group) {
      for (int k = 0; k < kind.group; ++k) program.push_back({Verb::forward, rank, begin + k});
      for (int k = 0; k < kind.group; ++k) backward(begin + k);
    }
    const int warm_up = kind.skew * (options.ranks - 1 - rank);
    const int end_of_warm_up = std::min(flushed + warm_up, count);
    for (int mb = flushed; mb < end_of_warm_up; ++mb) program.push_back({Verb::forward, rank, mb});
    for (int mb = flushed; mb < count; ++mb) {
      if (mb + warm_up < count) program.push_back({Verb::forward, rank, mb + warm_up});
      backward(mb);
    }
  }
  return schedule;
}

// Staleness of weights that are read by a forward `ahead` micro-batches before their own update.
std::string updates_within(std::string_view ahead, int group) {
  return group == 1 ? std::string(ahead) : fmt::format("ceil(({})/m)", ahead);
}

int group_or(const ScheduleOptions& options, int usual) {
  return options.group == 0 ? usual : options.group;
}

// One copy of the weights: the backward reads what the updates since its forward left, or a
// prediction from it.
Asynchronous one_version(int group, VersionRule rule, VersionRule backward, Correction correction) {
  const std::string stale = updates_within("S-1-s", group);
  return {.group = group,
          .versions = {.forward = rule, .backward = backward, .correction = correction},
          .contract = {.staleness = stale, .mismatch = stale, .versions = "1"}};
}

// The backward reads what its forward read, which is kept until then.
Asynchronous stashing(int group, Correction correction) {
  const std::string stale = updates_within("S-1-s", group);
  return {.group = group,
          .versions = {.correction = correction},
          .contract = {.staleness = stale, .versions = group == 1 ? "S-s" : stale + "+1"}};
}

}  // namespace

// Narayanan et al. 2019, section 3.3: weight stashing.
Result<Schedule> pipedream(const ScheduleOptions& options) {
  return without_flush("pipedream", options, stashing(group_or(options, 1), Correction::none));
}

// Narayanan et al. 2019, section 3.3: vertical sync, one version on the whole way of a micro-batch.
Result<Schedule> pipedream_vsync(const ScheduleOptions& options) {
  return without_flush("pipedream-vsync", options,
                       {.versions = {.forward = VersionRule::vertical},
                        .contract = {.staleness = "S-1", .versions = "S"}});
}

// Narayanan et al. 2021, section 3.1: double-buffered weights. Groups of `ranks` micro-batches or
// more: then a stage has made the version before last when it starts a group.
Result<Schedule> pipedream_2bw(const ScheduleOptions& options) {
  const int group = group_or(options, options.ranks);
  if (group < options.ranks) {
    return make_error(ErrorCode::invalid_config,
                      "schedule pipedream-2bw on {} ranks needs groups of at least {} "
                      "micro-batches, not {}, for two weight versions to suffice",
                      options.ranks, options.ranks, group);
  }
  return without_flush("pipedream-2bw", options,
                       {.group = group,
                        .versions = {.forward = VersionRule::previous_group,
                                     .backward = VersionRule::previous_group},
                        .contract = {.staleness = "1", .versions = "2"}});
}

// Yang et al. 2021, sections 2 and 3: every stage runs a forward and a backward per tick, so a rank
// is two micro-batches ahead of the next one. T1 (learning rate by staleness), T2 (discrepancy
// correction) and T3 (synchronous warm-up) are the correction's.
Result<Schedule> pipemare(const ScheduleOptions& options) {
  const int group = group_or(options, 1);
  if (options.warm_up_steps > options.micro_batches / group) {
    return make_error(ErrorCode::invalid_config,
                      "schedule pipemare: {} warm-up steps of {} micro-batches are more than the "
                      "{} micro-batches there are",
                      options.warm_up_steps, group, options.micro_batches);
  }
  Asynchronous kind =
      one_version(group, VersionRule::latest, VersionRule::latest, Correction::pipemare);
  kind.skew = 2;
  kind.versions.warm_up_steps = options.warm_up_steps;
  kind.contract.staleness = updates_within("2*(S-1-s)", group);
  kind.contract.mismatch = kind.contract.staleness;
  return without_flush("pipemare", options, kind);
}

// Chen et al. 2018, section 4: weights predicted from the velocity, for forwards and backwards.
Result<Schedule> spectrain(const ScheduleOptions& options) {
  return without_flush("spectrain", options,
                       one_version(group_or(options, 1), VersionRule::predicted,
                                   VersionRule::predicted, Correction::spec_train));
}

// Guan et al. 2019, section 3: prediction along Adam's direction, made by the first micro-batch of
// each mini-batch for all of it.
Result<Schedule> xpipe(const ScheduleOptions& options) {
  return without_flush("xpipe", options,
                       one_version(group_or(options, options.ranks), VersionRule::predicted,
                                   VersionRule::predicted, Correction::xpipe));
}

// Guan et al. 2023, section 3: forwards predict along the optimizer's own direction as far as the
// weights will have moved when the backward comes, which reads the latest.
Result<Schedule> pipeoptim(const ScheduleOptions& options) {
  return without_flush("pipeoptim", options,
                       one_version(group_or(options, 1), VersionRule::predicted,
                                   VersionRule::latest, Correction::pipe_optim));
}

// Ajanthan et al. 2025: PipeDream's order and stashing, with Nesterov's look-ahead as the delay
// correction.
Result<Schedule> nesterov(const ScheduleOptions& options) {
  return without_flush("nesterov", options,
                       stashing(group_or(options, 1), Correction::nesterov_delay));
}

// PACI 2026: each stage steps by itself every `group` micro-batches (as many as ranks, usually) and
// keeps no versions; one update at most then comes between a forward and its backward.
Result<Schedule> paci(const ScheduleOptions& options) {
  return without_flush("paci", options,
                       one_version(group_or(options, options.ranks), VersionRule::latest,
                                   VersionRule::latest, Correction::none));
}

}  // namespace collie
