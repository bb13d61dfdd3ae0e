// The next token from logits. Deterministic: the draw is a function of (seed, position).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "runtime/result.hpp"

namespace collie {

// The filters apply in the order of transformers' generate(): temperature, top_k, top_p.
struct SamplingOptions {
  double temperature = 0.0;  // 0: greedy, the most likely token, the first of equals
  std::int64_t top_k = 0;    // 0: all; otherwise only the k most likely
  double top_p = 1.0;        // only the fewest most likely tokens whose probabilities reach top_p
  std::uint64_t seed = 0;
  bool operator==(const SamplingOptions&) const = default;
};

// Why a sequence has ended.
enum class FinishReason { end_token, max_tokens, context_full, cancelled, non_finite };
std::string_view to_string(FinishReason reason);

// Names the option that is out of range.
Status check_sampling(const SamplingOptions& options);

// position: of the new token in its sequence. Fails with non_finite where a logit is NaN or all are
// minus infinity.
Result<std::int32_t> sample_token(std::span<const float> logits_v, const SamplingOptions& options,
                                  std::int64_t position);

}  // namespace collie
