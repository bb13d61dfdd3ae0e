#include <cstdint>

#include "actors/schedule/generators/all.hpp"
#include "actors/schedule/generators/build.hpp"
#include "actors/schedule/generators/controllable_memory_timeline.hpp"
#include "actors/schedule/generators/planning.hpp"
#include "runtime/limits.hpp"

// Qi et al., "Pipeline Parallelism with Controllable Memory", NeurIPS 2024: the building block is
// repeated, then gaps are closed and warm-up and cool-down passes moved earlier as far as that
// holds no more activations: first with each W in its place, then with W wherever there is room.
namespace collie {
namespace {

Status check_options(std::string_view name, const ScheduleOptions& options) {
  COLLIE_TRY_VOID(check_planning_options(name, options));
  const std::int64_t periods = std::int64_t{options.ranks} + options.micro_batches;
  if (options.ranks * periods <= static_cast<std::int64_t>(limits::schedule_units_max / 2)) {
    return ok_status();
  }
  return make_error(ErrorCode::invalid_config,
                    "schedule {}: {} ranks and {} micro-batches take ranks x (ranks + "
                    "micro-batches) x 6 slots, more than {}; use fewer ranks or micro-batches",
                    name, options.ranks, options.micro_batches, limits::schedule_units_max * 3);
}

Result<Schedule> from_block(std::string_view name, const BuildingBlock& block,
                            const ScheduleOptions& options) {
  BlockTimeline timeline(block, options.micro_batches);
  for (const bool with_weights : {true, false}) {
    if (with_weights) timeline.put_weights();
    timeline.reorder(with_weights);
    if (!with_weights) timeline.put_weights();
    timeline.squeeze();
    timeline.drop_weights();
  }
  timeline.put_weights();
  Schedule schedule =
      empty_schedule(name, Placement::wave(options.ranks, 2), options.micro_batches);
  for (int rank = 0; rank < options.ranks; ++rank) {
    schedule.programs[static_cast<std::size_t>(rank)] = timeline.program(rank);
  }
  return within_memory_cap(with_steps(std::move(schedule)), options);
}

}  // namespace

// Half of 1F1B's activations: two slots per rank down the V, one up.
Result<Schedule> v_half(const ScheduleOptions& options) {
  COLLIE_TRY_VOID(check_options("v-half", options));
  const int p = options.ranks;
  const int gap = p % 2 == 0 ? 3 : 0;  // keeps two passes of a rank out of the same slot
  BuildingBlock block;
  for (int i = 0; i < p; ++i) {
    block.push_back({2 * i, 3 * p - i - 2, 3 * p + gap + 2 * i - 1, 6 * p + gap - i - 2});
  }
  return from_block("v-half", block, options);
}

// A third of 1F1B's activations: one slot per rank down and up.
Result<Schedule> v_min(const ScheduleOptions& options) {
  COLLIE_TRY_VOID(check_options("v-min", options));
  const int p = options.ranks;
  const int gap = p % 3 == 0 ? 2 : 0;
  BuildingBlock block;
  for (int i = 0; i < p; ++i) {
    block.push_back({i, 2 * p - i - 1, 2 * p + gap + i, 4 * p + gap - i - 1});
  }
  return from_block("v-min", block, options);
}

}  // namespace collie
