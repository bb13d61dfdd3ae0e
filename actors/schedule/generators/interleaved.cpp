#include "actors/schedule/generators/interleaved.hpp"

#include <algorithm>

#include "actors/schedule/generators/all.hpp"
#include "actors/schedule/generators/build.hpp"

namespace collie {

InterleavedTable::InterleavedTable(int ranks, int chunks, int group, int micro_batches)
    : ranks_(ranks), chunks_(chunks), group_(std::min(group, micro_batches)) {
  const int left_over = micro_batches % group_;
  smallest_group_ = group_ == micro_batches ? ranks : left_over == 0 ? group_ : left_over;
  for (int begin = 0; begin < micro_batches; begin += group_) {
    const int end = std::min(begin + group_, micro_batches);
    for (int chunk = 0; chunk < chunks; ++chunk) {
      for (int mb = begin; mb < end; ++mb) units_.push_back({chunk, mb});
    }
  }
}

Result<InterleavedTable> InterleavedTable::make(std::string_view name,
                                                const ScheduleOptions& options) {
  const int chunks = options.chunks == 0 ? 2 : options.chunks;
  const int group = options.group == 0 ? options.ranks : options.group;
  if (chunks < 2) {
    return make_error(ErrorCode::invalid_config,
                      "schedule {} needs at least 2 chunks per rank, not {}; 1f1b and zb-h1 are "
                      "those of one",
                      name, chunks);
  }
  return InterleavedTable(options.ranks, chunks, group, options.micro_batches);
}

// Narayanan et al. 2021 (SC), section 2.2, with Megatron-LM's warm-up, groups of any size and a
// short last one.
Result<Schedule> interleaved(const ScheduleOptions& options) {
  COLLIE_TRY(const InterleavedTable table, InterleavedTable::make("interleaved", options));
  const Placement placement = Placement::looped(options.ranks, table.chunks());
  Schedule schedule = empty_schedule("interleaved", placement, options.micro_batches);
  schedule.channel.credit = table.credit(2);
  for (int rank = 0; rank < options.ranks; ++rank) {
    one_forward_one_backward(
        schedule.programs[static_cast<std::size_t>(rank)], table.size(), table.warm_up(rank, 2),
        [&](int k) { return table.forward_at(rank, k); },
        [&](int k) { return table.backward_at(Verb::backward, rank, k); });
  }
  return with_steps(std::move(schedule));
}

// Lamy-Poirier 2023, section 3 (breadth-first): every chunk runs all micro-batches before the next
// one, so a chunk's weights are gathered and its gradients reduced once per step.
Result<Schedule> looped_bfs(const ScheduleOptions& options) {
  const int chunks = options.chunks == 0 ? 2 : options.chunks;
  const int count = options.micro_batches;
  if (chunks < 2) {
    return make_error(ErrorCode::invalid_config,
                      "schedule looped-bfs needs at least 2 chunks per rank, not {}; gpipe is that "
                      "of one",
                      chunks);
  }
  Schedule schedule = empty_schedule("looped-bfs", Placement::looped(options.ranks, chunks), count);
  // A rank has all of a stage's micro-batches waiting before it turns to its next stage.
  schedule.channel.credit = std::max(schedule.channel.credit, count);
  for (int rank = 0; rank < options.ranks; ++rank) {
    auto& program = schedule.programs[static_cast<std::size_t>(rank)];
    for (int stage = rank; stage < options.ranks * chunks; stage += options.ranks) {
      for (int mb = 0; mb < count; ++mb) program.push_back({Verb::forward, stage, mb});
    }
    for (int stage = options.ranks * (chunks - 1) + rank; stage >= 0; stage -= options.ranks) {
      for (int mb = 0; mb < count; ++mb) program.push_back({Verb::backward, stage, mb});
    }
  }
  return with_steps(std::move(schedule));
}

}  // namespace collie
