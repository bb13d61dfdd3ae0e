// How large a model is and how much arithmetic it takes. Pure.
#pragma once

#include <cstdint>

#include "models/traits.hpp"

namespace collie {

struct StageSlice;
struct Tuning;

// All parameters, a tied embedding counted once.
std::int64_t parameter_count(const ModelTraits& traits);

// Parameters that take part in matrix products: the layers' linear weights and the head (tied or
// not), without embedding look-ups, norms and biases.
std::int64_t layer_matmul_parameters(const ModelTraits& traits);
std::int64_t matmul_parameters(const ModelTraits& traits);

// Floating-point operations of training on one token by the usual convention for model FLOPs
// utilisation (Chowdhery et al. 2022, PaLM, appendix B): 6 N + 12 L H K S, N the matmul parameters,
// causality not counted, recomputation neither.
double training_flops_per_token(const ModelTraits& traits, std::int64_t sequence);
// The same where a tuning (null: none) leaves parameters frozen: a frozen matrix takes no weight
// gradient, so 4 operations a token for 6, and below the first layer with something to train there
// is no backward at all; adapters' matrices take 6. Look-ups (virtual tokens, prefixes), factors
// and norms are not counted.
double training_flops_per_token(const ModelTraits& traits, std::int64_t sequence,
                                const Tuning* tuning);
// ... by pass, of one stage.
struct PassFlops {
  double forward = 0.0, input = 0.0, weight = 0.0;
};
PassFlops pass_flops_per_token(const ModelTraits& traits, const StageSlice& slice,
                               std::int64_t sequence, const Tuning* tuning);
// The forward third of it, of one layer and of the head.
double layer_forward_flops_per_token(const ModelTraits& traits, std::int64_t sequence);
double head_forward_flops_per_token(const ModelTraits& traits);

}  // namespace collie
