#include "actors/schedule/generators/all.hpp"
#include "actors/schedule/generators/build.hpp"
#include "actors/schedule/generators/interleaved.hpp"

namespace collie {

namespace {

// warm_up forwards; then F and I in turn, and from the lag-th I on the oldest pending W behind each
// I; then the W's that are left. unit_at(verb, k): the k-th of `count` actions of that verb.
template <class UnitAt>
void split_backwards(std::vector<Action>& program, int count, int warm_up, int lag,
                     const UnitAt& unit_at) {
  for (int k = 0; k < std::min(warm_up, count); ++k) program.push_back(unit_at(Verb::forward, k));
  for (int k = 0; k < count; ++k) {
    if (warm_up < count - k) program.push_back(unit_at(Verb::forward, warm_up + k));
    program.push_back(unit_at(Verb::backward_input, k));
    if (k >= lag) program.push_back(unit_at(Verb::backward_weight, k - lag));
  }
  for (int k = std::max(count - lag, 0); k < count; ++k) {
    program.push_back(unit_at(Verb::backward_weight, k));
  }
}

// depth: 1 for ZB-H1, 2 for ZB-H2, which fills the whole bubble with twice the activations.
Schedule handcrafted(std::string_view name, const ScheduleOptions& options, int depth) {
  Schedule schedule = empty_schedule(name, Placement::linear(options.ranks), options.micro_batches);
  for (int rank = 0; rank < options.ranks; ++rank) {
    const int warm_up = depth * (options.ranks - 1 - rank);
    split_backwards(schedule.programs[static_cast<std::size_t>(rank)], options.micro_batches,
                    warm_up, depth * rank, [&](Verb verb, int k) {
                      return Action{verb, rank, k};
                    });
  }
  return with_steps(std::move(schedule));
}

}  // namespace

// Qi et al. 2024 (Zero Bubble), section 2.1: 1F1B's warm-up and memory, a third of its bubble.
Result<Schedule> zb_h1(const ScheduleOptions& options) {
  return handcrafted("zb-h1", options, 1);
}

// Qi et al. 2024 (Zero Bubble), section 2.2: no bubble within a rank's span.
Result<Schedule> zb_h2(const ScheduleOptions& options) {
  return handcrafted("zb-h2", options, 2);
}

// ZB-1P's split on interleaved 1F1B's table (ScheduleInterleavedZeroBubble of
// torch.distributed.pipelining): half of its skew between ranks, so 1F1B's memory.
Result<Schedule> interleaved_zb(const ScheduleOptions& options) {
  COLLIE_TRY(const InterleavedTable table, InterleavedTable::make("interleaved-zb", options));
  const Placement placement = Placement::looped(options.ranks, table.chunks());
  Schedule schedule = empty_schedule("interleaved-zb", placement, options.micro_batches);
  schedule.channel.credit = table.credit(1);
  for (int rank = 0; rank < options.ranks; ++rank) {
    split_backwards(schedule.programs[static_cast<std::size_t>(rank)], table.size(),
                    table.warm_up(rank, 1), rank, [&](Verb verb, int k) {
                      return verb == Verb::forward ? table.forward_at(rank, k)
                                                   : table.backward_at(verb, rank, k);
                    });
  }
  return with_steps(std::move(schedule));
}

}  // namespace collie
