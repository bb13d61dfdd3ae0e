// Which rank holds which stage. A stage is a chunk of the model's layers; a rank may hold several,
// and a bidirectional schedule holds each stage twice, on mirrored ranks. Pure.
#pragma once

#include <string>
#include <vector>

#include "runtime/result.hpp"

namespace collie {

enum class PlacementKind {
  linear,         // stage s on rank s
  looped,         // stage s on rank s mod p (interleaved)
  wave,           // there and back again: V for two chunks, zigzag for more (ZBV, Hanayo)
  bidirectional,  // linear, and a replica that runs the other way (DualPipe, Chimera)
  table,          // written out
};

class Placement {
 public:
  Placement() = default;
  static Placement linear(int ranks);
  static Placement looped(int ranks, int chunks);
  static Placement wave(int ranks, int chunks);
  static Placement bidirectional(int ranks);
  // rank_of_stage[s]; an error names the first rank out of range or without a stage.
  static Result<Placement> table(int ranks, std::vector<int> rank_of_stage);

  PlacementKind kind() const { return kind_; }
  int ranks() const { return ranks_; }
  int stages() const { return static_cast<int>(rank_of_stage_.size()); }
  int directions() const { return kind_ == PlacementKind::bidirectional ? 2 : 1; }
  // Stages a rank holds, both directions counted.
  int chunks(int rank) const;
  int rank_of(int stage, int direction = 0) const {
    const int rank = rank_of_stage_[static_cast<std::size_t>(stage)];
    return direction == 0 ? rank : ranks_ - 1 - rank;
  }
  // "linear", "looped", "wave", "bidirectional", or "table 0,1,1,0".
  std::string describe() const;
  bool operator==(const Placement&) const = default;

 private:
  Placement(PlacementKind kind, int ranks, std::vector<int> rank_of_stage)
      : kind_(kind), ranks_(ranks), rank_of_stage_(std::move(rank_of_stage)) {}

  PlacementKind kind_ = PlacementKind::linear;
  int ranks_ = 1;
  std::vector<int> rank_of_stage_ = {0};
};

}  // namespace collie
