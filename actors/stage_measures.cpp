#include "actors/stage_measures.hpp"

#include <cmath>

#include "kernels/elementwise.hpp"
#include "runtime/hash.hpp"

namespace collie {

void measure_gradients(Stream& stream, const Parameters& parameters, RoundReport& report,
                       std::span<const double> of_turns) {
  report.is_share = parameters.sharding().shares_state();
  for (int index = 0; index < parameters.count(); ++index) {
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
    if (!spec.owned || !spec.trainable || parameters.is_alias(index)) continue;
    if (!parameters.is_in_own_share(index)) {
      report.squares.push_back(0.0);
      continue;
    }
    const double squares = parameters.is_in_turn(index)
                               ? of_turns[static_cast<std::size_t>(index)]
                               : kernels::sum_of_squares(stream, parameters.gradient(index));
    report.squares.push_back(squares);
    if (!std::isfinite(squares) && report.first_non_finite.empty()) {
      report.first_non_finite = spec.name;
    }
  }
}

std::uint64_t hash_of(const Parameters& parameters) {
  std::uint64_t sum = 0;
  for (int index = 0; index < parameters.count(); ++index) {
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
    if (!spec.owned || parameters.is_alias(index) || !parameters.holds_value(index)) continue;
    const Tensor value = parameters.value(index);
    Hash64 hash;
    hash.update(spec.name);
    hash.update(std::span(value.raw(), value.size_bytes()));
    sum += hash.value();
  }
  return sum;
}

}  // namespace collie
