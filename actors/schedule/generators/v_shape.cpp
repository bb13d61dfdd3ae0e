#include "actors/schedule/generators/all.hpp"
#include "actors/schedule/generators/dual_pipe.hpp"

namespace collie {

namespace {

// The rank's two chunks in ZBV's order: near is stage `rank`, far is stage 2 ranks - 1 - rank.
void append_zbv(int ranks, int rank, int micro_batches, Lane& near, Lane& far) {
  const int count = std::max(2 * ranks - 1, micro_batches);
  for (int i = 0; i < 2 * (ranks - rank) - 1; ++i) near.forward();
  for (int i = 0; i < rank; ++i) {
    far.forward();
    near.forward();
  }
  const auto far_round = [&] {
    far.forward();
    far.input();
    far.weight();
  };
  for (int i = 0; i < ranks - rank; ++i) far_round();
  while (far.forwards() < near.forwards() || near.forwards() < count) {
    if (near.forwards() < count) near.forward();
    near.input();
    near.weight();
    far_round();
  }
  for (int i = 0; i < rank; ++i) {
    near.input();
    far.input();
  }
  for (int i = 0; i < ranks - rank; ++i) {
    near.input();
    near.weight();
  }
  while (far.weights() < far.inputs()) far.weight();
  while (near.weights() < near.inputs()) near.weight();
}

}  // namespace

// Qi et al. 2024 (Controllable Memory), section 4 and ScheduleZBVZeroBubble of
// torch.distributed.pipelining: no bubble within a rank's span where F, I and W take equally long,
// with 1F1B's memory on every rank. The loss is on rank 0.
Result<Schedule> zbv(const ScheduleOptions& options) {
  const int count = options.micro_batches;
  Schedule schedule = empty_schedule("zbv", Placement::wave(options.ranks, 2), count);
  for (int rank = 0; rank < options.ranks; ++rank) {
    auto& program = schedule.programs[static_cast<std::size_t>(rank)];
    Lane near(program, rank, count);
    Lane far(program, 2 * options.ranks - 1 - rank, count);
    append_zbv(options.ranks, rank, count, near, far);
  }
  return with_steps(std::move(schedule));
}

// DualPipeV (deepseek-ai/DualPipe, dualpipev.py): DualPipe's two halves folded onto one set of
// ranks, so weights are held once. The loss is on rank 0.
Result<Schedule> dualpipev(const ScheduleOptions& options) {
  const int ranks = options.ranks;
  const int count = options.micro_batches;
  if (count < 2 * ranks) {
    return make_error(ErrorCode::invalid_config,
                      "schedule dualpipev on {} ranks needs at least {} micro-batches (two per "
                      "rank), not {}",
                      ranks, 2 * ranks, count);
  }
  Schedule schedule = empty_schedule("dualpipev", Placement::wave(ranks, 2), count);
  for (int rank = 0; rank < ranks; ++rank) {
    auto& program = schedule.programs[static_cast<std::size_t>(rank)];
    Lane near(program, rank, count);
    Lane far(program, 2 * ranks - 1 - rank, count);
    const DualPipeShape shape{
        .half = ranks, .distance = rank, .overlaps = count - 2 * ranks + rank + 1};
    append_dual_pipe(program, shape, near, far);
  }
  return with_steps(std::move(schedule));
}

}  // namespace collie
