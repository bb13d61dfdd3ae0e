// Which layers go to which pipeline stage, by cost. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "models/stage.hpp"

namespace collie {

struct PartitionCosts {
  std::vector<double> layers;
  double embedding = 0.0;  // added to the first stage
  double head = 0.0;       // added to the last stage
};

// Contiguous layer ranges that minimise the cost of the most expensive stage, then the sum of
// squares. Every stage has a layer, but for the last of several, which may have the head alone.
// Fails where there are more stages than that allows.
Result<std::vector<StageSlice>> partition_layers(const PartitionCosts& costs, int stages);

// The same with the costs of a model trained on rows of `sequence` tokens. Slices have tp_size 1.
Result<std::vector<StageSlice>> partition_model(const ModelTraits& traits, int stages,
                                                std::int64_t sequence);

}  // namespace collie
