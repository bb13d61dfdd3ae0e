#include "actors/schedule/generators/all.hpp"
#include "actors/schedule/generators/dual_pipe.hpp"

namespace collie {

namespace {

Status check_even(std::string_view name, const ScheduleOptions& options) {
  if (options.ranks % 2 != 0) {
    return make_error(ErrorCode::invalid_config,
                      "schedule {} runs in both directions and needs an even number of ranks, not "
                      "{}",
                      name, options.ranks);
  }
  if (options.micro_batches % 2 != 0) {
    return make_error(ErrorCode::invalid_config,
                      "schedule {} gives each direction half of the micro-batches and needs an "
                      "even number of them, not {}",
                      name, options.micro_batches);
  }
  return ok_status();
}

}  // namespace

// DeepSeek-V3 technical report 2024, section 3.2.1, and deepseek-ai/DualPipe, dualpipe.py.
// Direction 1 runs the second half of the micro-batches up the ranks.
Result<Schedule> dualpipe(const ScheduleOptions& options) {
  COLLIE_TRY_VOID(check_even("dualpipe", options));
  const int ranks = options.ranks;
  const int half_count = options.micro_batches / 2;
  if (half_count < ranks) {
    return make_error(ErrorCode::invalid_config,
                      "schedule dualpipe on {} ranks needs at least {} micro-batches (two per "
                      "rank), not {}",
                      ranks, 2 * ranks, options.micro_batches);
  }
  Schedule schedule =
      empty_schedule("dualpipe", Placement::bidirectional(ranks), options.micro_batches);
  for (int rank = 0; rank < ranks; ++rank) {
    auto& program = schedule.programs[static_cast<std::size_t>(rank)];
    Lane down(program, rank, half_count);
    Lane up(program, ranks - 1 - rank, half_count, half_count, 1);
    const int distance = std::min(rank, ranks - 1 - rank);
    const DualPipeShape shape{
        .half = ranks / 2, .distance = distance, .overlaps = half_count - ranks + distance + 1};
    if (rank < ranks / 2) {
      append_dual_pipe(program, shape, down, up);
    } else {
      append_dual_pipe(program, shape, up, down);
    }
  }
  return with_steps(std::move(schedule));
}

// Li and Hoefler 2021, section 3.2: units of `ranks` micro-batches, half of them in each direction,
// every action in a slot of its own; units follow each other directly. The last unit may be short.
Result<Schedule> chimera(const ScheduleOptions& options) {
  COLLIE_TRY_VOID(check_even("chimera", options));
  const int ranks = options.ranks;
  const int half_count = options.micro_batches / 2;
  const int per_unit = ranks / 2;
  Schedule schedule =
      empty_schedule("chimera", Placement::bidirectional(ranks), options.micro_batches);
  std::vector<Action> slots;
  for (int rank = 0; rank < ranks; ++rank) {
    const int units = (half_count + per_unit - 1) / per_unit;
    slots.assign(static_cast<std::size_t>(2 * ranks) * static_cast<std::size_t>(units) +
                     static_cast<std::size_t>(ranks),
                 Action{.micro_batch = -1});
    for (int k = 0; k < options.micro_batches; ++k) {
      const bool is_up = k >= half_count;
      const int in_direction = is_up ? k - half_count : k;
      const int stage = is_up ? ranks - 1 - rank : rank;
      const int start = 2 * ranks * (in_direction / per_unit) + 2 * (in_direction % per_unit);
      Action action{.stage = stage, .micro_batch = k, .direction = static_cast<signed char>(is_up)};
      slots[static_cast<std::size_t>(start + stage)] = action;
      action.verb = Verb::backward;
      slots[static_cast<std::size_t>(start + 2 * ranks - 1 - stage)] = action;
    }
    std::ranges::copy_if(slots,
                         std::back_inserter(schedule.programs[static_cast<std::size_t>(rank)]),
                         [](const Action& action) { return action.micro_batch >= 0; });
  }
  return with_steps(std::move(schedule));
}

}  // namespace collie
