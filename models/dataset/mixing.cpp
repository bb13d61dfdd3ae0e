#include "models/dataset/mixing.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "models/dataset/permutation.hpp"
#include "runtime/check.hpp"

namespace collie {
namespace {

constexpr int period_bits = 32;
constexpr std::uint64_t period = std::uint64_t{1} << period_bits;

}  // namespace

MixSchedule::MixSchedule(std::span<const double> weights, std::uint64_t seed) {
  COLLIE_CHECK(!weights.empty() && weights.size() < 65536, "a mix of {} sources", weights.size());
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (std::size_t source = 0; source < weights.size(); ++source) {
    COLLIE_CHECK(weights[source] > 0.0, "source {} has weight {}", source, weights[source]);
    const double share = std::floor(weights[source] / sum * static_cast<double>(period));
    shares_.push_back(std::max(static_cast<std::uint64_t>(share), std::uint64_t{1}));
    phases_.push_back(mix_bits(mix_bits(seed) + source) % period);
  }
  // What rounding left over or took too much goes to the largest.
  const auto largest = std::max_element(shares_.begin(), shares_.end());
  *largest += period - std::accumulate(shares_.begin(), shares_.end(), std::uint64_t{0});
}

// Both factors are at most 2^32 and only one can be 2^32 with the other below, or both where there
// is one source: then the product would not fit.
std::uint64_t MixSchedule::given(std::size_t source, std::uint64_t tick) const {
  if (tick == period) return shares_[source];
  return (tick * shares_[source] + phases_[source]) >> period_bits;
}

std::uint64_t MixSchedule::all_given(std::uint64_t tick) const {
  std::uint64_t sum = 0;
  for (std::size_t source = 0; source < shares_.size(); ++source) sum += given(source, tick);
  return sum;
}

// The last tick before which at most the place's rows were given.
MixSchedule::Tick MixSchedule::tick_of(std::int64_t place) const {
  COLLIE_CHECK(place >= 0, "row {} of a mix", place);
  const auto wanted = static_cast<std::uint64_t>(place) % period;
  const std::uint64_t slack = shares_.size();
  std::uint64_t low = wanted > slack ? wanted - slack : 0;  // all_given(low) <= wanted
  std::uint64_t high = std::min(period, wanted + slack + 1);
  while (high - low > 1) {
    const std::uint64_t middle = low + (high - low) / 2;
    (all_given(middle) <= wanted ? low : high) = middle;
  }
  return {place >> period_bits, low, static_cast<std::int64_t>(wanted - all_given(low))};
}

MixSchedule::Draw MixSchedule::at(std::int64_t place) const {
  const Tick tick = tick_of(place);
  std::int64_t behind = tick.behind;
  for (std::size_t source = 0; source < shares_.size(); ++source) {
    const std::uint64_t before = given(source, tick.tick);
    if (given(source, tick.tick + 1) == before || behind-- > 0) continue;
    return {source, tick.periods * static_cast<std::int64_t>(shares_[source]) +
                        static_cast<std::int64_t>(before)};
  }
  COLLIE_CHECK(false, "no source gives row {}", place);
  return {};
}

std::vector<std::int64_t> MixSchedule::counts(std::int64_t places) const {
  const Tick tick = tick_of(places);
  std::int64_t behind = tick.behind;
  std::vector<std::int64_t> counts;
  for (std::size_t source = 0; source < shares_.size(); ++source) {
    const std::uint64_t before = given(source, tick.tick);
    const bool counted = given(source, tick.tick + 1) != before && behind-- > 0;
    counts.push_back(tick.periods * static_cast<std::int64_t>(shares_[source]) +
                     static_cast<std::int64_t>(before) + (counted ? 1 : 0));
  }
  return counts;
}

}  // namespace collie
