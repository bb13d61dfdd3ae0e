#include "models/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace collie {

namespace {

struct Candidate {
  std::int32_t id = 0;
  double weight = 0.0;  // the logit, then its unnormalised probability
};

bool is_more_likely(const Candidate& a, const Candidate& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
}

// SplitMix64 (Steele et al. 2014).
std::uint64_t mix(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

// In [0, 1).
double uniform(std::uint64_t seed, std::int64_t position) {
  const std::uint64_t bits = mix(mix(seed) ^ static_cast<std::uint64_t>(position));
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

// The most likely k, sorted only when the cut needs it.
void keep_top_k(std::vector<Candidate>& candidates, std::int64_t top_k) {
  const auto count = static_cast<std::int64_t>(candidates.size());
  if (top_k <= 0 || top_k >= count) return;
  std::nth_element(candidates.begin(), candidates.begin() + (top_k - 1), candidates.end(),
                   is_more_likely);
  candidates.resize(static_cast<std::size_t>(top_k));
}

double to_probabilities(std::vector<Candidate>& candidates, double temperature) {
  const double most =
      std::max_element(candidates.begin(), candidates.end(),
                       [](const Candidate& a, const Candidate& b) { return a.weight < b.weight; })
          ->weight;
  double total = 0.0;
  for (Candidate& candidate : candidates) {
    candidate.weight = std::exp((candidate.weight - most) / temperature);
    total += candidate.weight;
  }
  return total;
}

// Returns the weight of what is kept: always at least the most likely one.
double keep_top_p(std::vector<Candidate>& candidates, double top_p, double total) {
  if (top_p >= 1.0) return total;
  std::sort(candidates.begin(), candidates.end(), is_more_likely);
  double kept = 0.0;
  std::size_t count = 0;
  while (count < candidates.size() && (count == 0 || kept < top_p * total)) {
    kept += candidates[count++].weight;
  }
  candidates.resize(count);
  return kept;
}

}  // namespace

std::string_view to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::end_token:
      return "end token";
    case FinishReason::max_tokens:
      return "token limit";
    case FinishReason::context_full:
      return "context full";
    case FinishReason::cancelled:
      return "cancelled";
    case FinishReason::non_finite:
      return "logits that are no numbers";
  }
  return "?";
}

Status check_sampling(const SamplingOptions& options) {
  if (!(options.temperature >= 0.0) || !std::isfinite(options.temperature)) {
    return make_error(ErrorCode::invalid_config, "temperature must be 0 or more, got {}",
                      options.temperature);
  }
  if (options.top_k < 0) {
    return make_error(ErrorCode::invalid_config, "top_k must be 0 or more, got {}", options.top_k);
  }
  if (!(options.top_p > 0.0 && options.top_p <= 1.0)) {
    return make_error(ErrorCode::invalid_config, "top_p must be above 0 and at most 1, got {}",
                      options.top_p);
  }
  return ok_status();
}

Result<std::int32_t> sample_token(std::span<const float> logits_v, const SamplingOptions& options,
                                  std::int64_t position) {
  COLLIE_TRY_VOID(check_sampling(options));
  std::vector<Candidate> candidates;
  candidates.reserve(logits_v.size());
  std::int32_t id = 0;
  for (const float logit : logits_v) {
    if (std::isnan(logit) || logit == INFINITY) {
      return make_error(ErrorCode::non_finite, "the logit of token {} is {}", id, logit);
    }
    if (logit != -INFINITY) candidates.push_back({id, static_cast<double>(logit)});
    ++id;
  }
  if (candidates.empty()) {
    return make_error(ErrorCode::non_finite, "none of the {} logits is finite", logits_v.size());
  }
  if (options.temperature == 0.0) {
    return std::min_element(candidates.begin(), candidates.end(), is_more_likely)->id;
  }
  keep_top_k(candidates, options.top_k);
  const double total = to_probabilities(candidates, options.temperature);
  const double kept = keep_top_p(candidates, options.top_p, total);
  double left = uniform(options.seed, position) * kept;
  for (const Candidate& candidate : candidates) {
    left -= candidate.weight;
    if (left < 0.0) return candidate.id;
  }
  return candidates.back().id;
}

}  // namespace collie
