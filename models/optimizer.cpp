#include "models/optimizer.hpp"

#include <cstring>

#include "models/optimizers/adamw.hpp"
#include "models/optimizers/sgd.hpp"

namespace collie {

namespace {

struct NamedOptimizer {
  std::string_view name;
  double bytes_per_parameter;
  std::unique_ptr<Optimizer> (*make)(const OptimizerOptions&, const Parameters&, Allocator&);
};

// One line per optimizer a configuration can name.
constexpr NamedOptimizer optimizers[] = {
    {"adamw", 8.0, make_adamw},
    {"sgd", 4.0, make_sgd},
};

Result<const NamedOptimizer*> find_optimizer(std::string_view name) {
  std::string known;
  for (const NamedOptimizer& entry : optimizers) {
    if (entry.name == name) return &entry;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", entry.name);
  }
  return make_error(ErrorCode::invalid_config,
                    "train.optimizer.name: no optimizer named \"{}\"; known: {}", name, known);
}

}  // namespace

Result<std::unique_ptr<Optimizer>> make_optimizer(const OptimizerOptions& options,
                                                  const Parameters& parameters,
                                                  Allocator& allocator) {
  COLLIE_TRY(const NamedOptimizer* entry, find_optimizer(options.name));
  return entry->make(options, parameters, allocator);
}

Result<double> optimizer_bytes_per_parameter(std::string_view name) {
  COLLIE_TRY(const NamedOptimizer* entry, find_optimizer(name));
  return entry->bytes_per_parameter;
}

std::vector<DecayRange> decay_ranges(const Parameters& parameters) {
  std::vector<DecayRange> ranges;
  for (int index = 0; index < parameters.count(); ++index) {
    if (parameters.is_alias(index)) continue;
    const bool decay = parameters.specs()[static_cast<std::size_t>(index)].decay;
    const std::int64_t begin = parameters.offset(index);
    const std::int64_t end = begin + parameters.padded_count(index);
    if (!ranges.empty() && ranges.back().decay == decay && ranges.back().end == begin) {
      ranges.back().end = end;
    } else {
      ranges.push_back({begin, end, decay});
    }
  }
  return ranges;
}

}  // namespace collie
