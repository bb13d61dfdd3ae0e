#include "actors/schedule/generators/all.hpp"
#include "actors/schedule/generators/build.hpp"

namespace collie {

// Sun et al. 2024, section 3: 1F1B over slices of the sequence, forwards from a micro-batch's first
// slice to its last and backwards from its last to its first, because under causal attention later
// slices add to the gradients of earlier keys and values. One slice is 1F1B.
Result<Schedule> seq1f1b(const ScheduleOptions& options) {
  const int slices = options.slices;
  Schedule schedule =
      empty_schedule("seq1f1b", Placement::linear(options.ranks), options.micro_batches);
  schedule.slices = slices;
  for (int rank = 0; rank < options.ranks; ++rank) {
    const auto unit = [&](Verb verb, int micro_batch, int slice) {
      return Action{verb, rank, micro_batch, static_cast<short>(slice)};
    };
    // The last rank needs all slices of a micro-batch before its first backward.
    one_forward_one_backward(
        schedule.programs[static_cast<std::size_t>(rank)], options.micro_batches * slices,
        slices - 1 + options.ranks - 1 - rank,
        [&](int k) { return unit(Verb::forward, k / slices, k % slices); },
        [&](int k) { return unit(Verb::backward, k / slices, slices - 1 - k % slices); });
  }
  return with_steps(std::move(schedule));
}

}  // namespace collie
