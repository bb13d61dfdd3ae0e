#include "actors/schedule/generators/all.hpp"
#include "actors/schedule/generators/build.hpp"

namespace collie {

// Huang et al. 2019, section 2.3: all forwards, then all backwards, micro-batches in order.
Result<Schedule> gpipe(const ScheduleOptions& options) {
  const int count = options.micro_batches;
  Schedule schedule = empty_schedule("gpipe", Placement::linear(options.ranks), count);
  for (int rank = 0; rank < options.ranks; ++rank) {
    auto& program = schedule.programs[static_cast<std::size_t>(rank)];
    for (int mb = 0; mb < count; ++mb) program.push_back({Verb::forward, rank, mb});
    for (int mb = 0; mb < count; ++mb) program.push_back({Verb::backward, rank, mb});
  }
  return with_steps(std::move(schedule));
}

// Narayanan et al. 2021, section 2.2 (PipeDream-Flush), Fan et al. 2021 (DAPPLE): at most ranks -
// rank micro-batches in flight.
Result<Schedule> one_f_one_b(const ScheduleOptions& options) {
  const int count = options.micro_batches;
  Schedule schedule = empty_schedule("1f1b", Placement::linear(options.ranks), count);
  for (int rank = 0; rank < options.ranks; ++rank) {
    one_forward_one_backward(
        schedule.programs[static_cast<std::size_t>(rank)], count, options.ranks - 1 - rank,
        [&](int k) {
          return Action{Verb::forward, rank, k};
        },
        [&](int k) {
          return Action{Verb::backward, rank, k};
        });
  }
  return with_steps(std::move(schedule));
}

}  // namespace collie
