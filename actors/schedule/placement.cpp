#include "actors/schedule/placement.hpp"

#include <algorithm>
#include <numeric>

namespace collie {

Placement Placement::linear(int ranks) {
  return looped(ranks, 1);
}

Placement Placement::looped(int ranks, int chunks) {
  std::vector<int> rank_of_stage;
  for (int stage = 0; stage < ranks * chunks; ++stage) rank_of_stage.push_back(stage % ranks);
  return {chunks == 1 ? PlacementKind::linear : PlacementKind::looped, ranks,
          std::move(rank_of_stage)};
}

Placement Placement::wave(int ranks, int chunks) {
  std::vector<int> rank_of_stage;
  for (int stage = 0; stage < ranks * chunks; ++stage) {
    const bool is_way_there = stage / ranks % 2 == 0;
    rank_of_stage.push_back(is_way_there ? stage % ranks : ranks - 1 - stage % ranks);
  }
  return {PlacementKind::wave, ranks, std::move(rank_of_stage)};
}

Placement Placement::bidirectional(int ranks) {
  Placement placement = linear(ranks);
  placement.kind_ = PlacementKind::bidirectional;
  return placement;
}

Result<Placement> Placement::table(int ranks, std::vector<int> rank_of_stage) {
  for (std::size_t stage = 0; stage < rank_of_stage.size(); ++stage) {
    if (rank_of_stage[stage] >= 0 && rank_of_stage[stage] < ranks) continue;
    return make_error(ErrorCode::invalid_config, "placement: stage {} on rank {}, of {} ranks",
                      stage, rank_of_stage[stage], ranks);
  }
  for (int rank = 0; rank < ranks; ++rank) {
    if (std::ranges::find(rank_of_stage, rank) != rank_of_stage.end()) continue;
    return make_error(ErrorCode::invalid_config, "placement: rank {} holds no stage", rank);
  }
  return Placement(PlacementKind::table, ranks, std::move(rank_of_stage));
}

int Placement::chunks(int rank) const {
  const auto on = [&](int wanted) {
    return static_cast<int>(std::ranges::count(rank_of_stage_, wanted));
  };
  return directions() == 1 ? on(rank) : on(rank) + on(ranks_ - 1 - rank);
}

std::string Placement::describe() const {
  switch (kind_) {
    case PlacementKind::linear:
      return "linear";
    case PlacementKind::looped:
      return "looped";
    case PlacementKind::wave:
      return "wave";
    case PlacementKind::bidirectional:
      return "bidirectional";
    case PlacementKind::table:
      return fmt::format("table {}", fmt::join(rank_of_stage_, ","));
  }
  return "";
}

}  // namespace collie
