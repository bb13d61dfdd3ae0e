#include "actors/schedule/generators.hpp"

#include <algorithm>
#include <cstdint>

#include "runtime/limits.hpp"
#include "runtime/suggest.hpp"

namespace collie {

const ScheduleGenerator* find_generator(std::string_view name) {
  const auto& known = schedule_generators();
  const auto found = std::ranges::find(known, name, &ScheduleGenerator::name);
  return found == known.end() ? nullptr : &*found;
}

std::string arguments_taken(const ScheduleGenerator& generator) {
  const Takes& takes = generator.takes;
  std::vector<std::string_view> taken;
  if (takes.chunks == 0) taken.emplace_back("--chunks");
  if (takes.group) taken.emplace_back("--group");
  if (takes.slices) taken.emplace_back("--slices");
  if (takes.warm_up_steps) taken.emplace_back("--warm-up-steps");
  if (takes.times) taken.emplace_back("times");
  if (takes.memory_cap) taken.emplace_back("--memory-cap");
  if (taken.empty() && generator.needs.empty()) return "-";
  return fmt::format("{}{}{}", fmt::join(taken, ", "),
                     taken.empty() || generator.needs.empty() ? "" : "; ", generator.needs);
}

namespace {

Status check_between(std::string_view key, int value, int low, int high) {
  if (value >= low && value <= high) return ok_status();
  return make_error(ErrorCode::invalid_config, "schedule: {} is {}; it must be from {} to {}", key,
                    value, low, high);
}

// Before anything is allocated.
Status check_bounds(const ScheduleOptions& options) {
  COLLIE_TRY_VOID(check_between("ranks", options.ranks, 1, limits::schedule_ranks_max));
  COLLIE_TRY_VOID(
      check_between("micro_batches", options.micro_batches, 1, limits::micro_batches_max));
  COLLIE_TRY_VOID(check_between("chunks", options.chunks, 0, limits::schedule_stages_max));
  COLLIE_TRY_VOID(check_between("group", options.group, 0, limits::micro_batches_max));
  COLLIE_TRY_VOID(check_between("slices", options.slices, 1, limits::schedule_slices_max));
  COLLIE_TRY_VOID(
      check_between("warm_up_steps", options.warm_up_steps, 0, limits::micro_batches_max));
  const std::int64_t stages = std::int64_t{options.ranks} * std::max(options.chunks, 2);
  const std::int64_t units = stages * options.micro_batches * options.slices;
  if (stages <= limits::schedule_stages_max &&
      units <= static_cast<std::int64_t>(limits::schedule_units_max)) {
    return ok_status();
  }
  return make_error(ErrorCode::invalid_config,
                    "schedule: {} ranks x {} chunks x {} micro-batches x {} slices are too many; "
                    "at most {} stages and {} units of work",
                    options.ranks, std::max(options.chunks, 2), options.micro_batches,
                    options.slices, limits::schedule_stages_max, limits::schedule_units_max);
}

// An error that names the first argument that was given in vain.
Status check_takes(std::string_view name, const ScheduleOptions& options, const Takes& takes) {
  if (takes.chunks != 0 && options.chunks != 0 && options.chunks != takes.chunks) {
    return make_error(ErrorCode::invalid_config,
                      "schedule {} has {} chunk{} per rank, not {}; leave chunks out", name,
                      takes.chunks, takes.chunks == 1 ? "" : "s", options.chunks);
  }
  if (!takes.group && options.group != 0) {
    return make_error(ErrorCode::invalid_config,
                      "schedule {} has no groups of micro-batches; leave group out", name);
  }
  if (!takes.slices && options.slices != 1) {
    return make_error(ErrorCode::invalid_config,
                      "schedule {} does not cut micro-batches along the sequence; leave slices out "
                      "or use seq1f1b",
                      name);
  }
  if (!takes.warm_up_steps && options.warm_up_steps != 0) {
    return make_error(ErrorCode::invalid_config,
                      "schedule {} has no synchronous warm-up; leave warm_up_steps out or use "
                      "pipemare",
                      name);
  }
  return ok_status();
}

}  // namespace

Result<Schedule> make_schedule(std::string_view name, const ScheduleOptions& options) {
  if (const ScheduleGenerator* generator = find_generator(name)) {
    COLLIE_TRY_VOID(check_bounds(options));
    COLLIE_TRY_VOID(check_takes(name, options, generator->takes));
    return generator->generate(options);
  }
  std::vector<std::string> known;
  for (const ScheduleGenerator& generator : schedule_generators())
    known.emplace_back(generator.name);
  return make_error(ErrorCode::invalid_config, "no schedule named {}{}; known: {}",
                    quoted_name(name), did_you_mean(name, known), fmt::join(known, ", "));
}

Schedule forward_only(const Placement& placement, int micro_batches) {
  Schedule schedule{.name = "forward-only", .placement = placement, .micro_batches = micro_batches};
  schedule.programs.resize(static_cast<std::size_t>(placement.ranks()));
  for (int mb = 0; mb < micro_batches; ++mb) {
    for (int stage = 0; stage < placement.stages(); ++stage) {
      const auto rank = static_cast<std::size_t>(placement.rank_of(stage));
      schedule.programs[rank].push_back({Verb::forward, stage, mb});
    }
  }
  return schedule;
}

}  // namespace collie
