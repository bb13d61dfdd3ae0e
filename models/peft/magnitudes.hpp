// DoRA's magnitudes before the first step: the norms of the rows of the model's own weights.
#pragma once

#include <cstdint>

#include "models/hf_model.hpp"

namespace collie {

// After Parameters::initialize_adapters. base: the directory the model was loaded from, checked, or
// null for a fresh model of this seed. Rows are read whole where a shard holds a part of them, so
// every grid starts from the same values. Nothing to do for other methods. Runs kernels.
Status initialize_magnitudes(const TensorDirectory* base, std::uint64_t seed,
                             const ModelTraits& traits, Parameters& parameters, Stream& stream);

}  // namespace collie
