#include "models/optimizer.hpp"

#include "models/optimizers/rules.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

// What an option is where none is given.
struct Defaults {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.0;
  double momentum = 0.9;
  bool nesterov = false;
};

struct NamedOptimizer {
  std::string_view name;
  Defaults defaults;
  // Numbers of state for each parameter of a hidden matrix, in options.state_dtype.
  int (*state_count)(const OptimizerOptions&);
  std::unique_ptr<Optimizer> (*make)(const OptimizerSetup&);
};

template <int Count>
int always(const OptimizerOptions&) {
  return Count;
}
int with_momentum(const OptimizerOptions& options) {
  return *options.momentum > 0.0 ? 1 : 0;
}
int with_beta1(const OptimizerOptions& options) {
  return *options.beta1 > 0.0 ? 1 : 0;
}

// One line per optimizer a configuration can name.
const NamedOptimizer optimizers[] = {
    {"adamw", {}, always<2>, make_adamw},
    {"sgd", {}, with_momentum, make_sgd},
    {"lion", {.beta2 = 0.99}, always<1>, make_lion},
    {"adan", {.beta1 = 0.98, .beta2 = 0.92}, always<4>, make_adan},
    {"sophia", {.beta1 = 0.965, .beta2 = 0.99, .weight_decay = 0.1}, always<2>, make_sophia},
    {"adafactor", {.beta1 = 0.0, .epsilon = 1e-30}, with_beta1, make_adafactor},
    {"muon",
     {.beta2 = 0.95, .epsilon = 1e-10, .momentum = 0.95, .nesterov = true},
     always<1>,
     make_muon},
    {"lomo", {}, always<0>, make_lomo},
    {"adalomo", {.beta1 = 0.0, .epsilon = 1e-30}, always<0>, make_adalomo},
};

Result<const NamedOptimizer*> find_optimizer(std::string_view name) {
  std::vector<std::string> known;
  for (const NamedOptimizer& entry : optimizers) {
    if (entry.name == name) return &entry;
    known.emplace_back(entry.name);
  }
  return make_error(ErrorCode::invalid_config,
                    "train.optimizer.name: no optimizer named {}; known: {}{}", quoted_name(name),
                    fmt::join(known, ", "), did_you_mean(name, known));
}

OptimizerOptions completed(OptimizerOptions options, const Defaults& defaults) {
  options.beta1 = options.beta1.value_or(defaults.beta1);
  options.beta2 = options.beta2.value_or(defaults.beta2);
  options.epsilon = options.epsilon.value_or(defaults.epsilon);
  options.weight_decay = options.weight_decay.value_or(defaults.weight_decay);
  options.momentum = options.momentum.value_or(defaults.momentum);
  options.nesterov = options.nesterov.value_or(defaults.nesterov);
  return options;
}

}  // namespace

void Optimizer::direction(Stream&, const Parameters&, std::int64_t, Tensor&) const {
  COLLIE_CHECK(false, "this optimizer has no direction");
}

Steps Optimizer::step_one(Stream&, OptimizerStep, Parameters&, int) {
  COLLIE_CHECK(false, "this optimizer updates all parameters at once");
  return {};
}

void Optimizer::update_hessian(Stream&, double, Parameters&) {
  COLLIE_CHECK(false, "this optimizer knows no curvature");
}

Result<OptimizerOptions> with_defaults(OptimizerOptions options) {
  COLLIE_TRY(const NamedOptimizer* entry, find_optimizer(options.name));
  return completed(std::move(options), entry->defaults);
}

Result<std::unique_ptr<Optimizer>> make_optimizer(const OptimizerOptions& options,
                                                  const Parameters& parameters,
                                                  Allocator& allocator) {
  return make_optimizer(options, parameters, allocator, {{0, parameters.trainable_elements()}});
}

Result<std::unique_ptr<Optimizer>> make_optimizer(const OptimizerOptions& options,
                                                  const Parameters& parameters,
                                                  Allocator& allocator,
                                                  std::vector<StoreRange> ranges) {
  COLLIE_TRY(const NamedOptimizer* entry, find_optimizer(options.name));
  const OptimizerOptions complete = completed(options, entry->defaults);
  if (complete.nesterov.value() && complete.name == "sgd" &&
      (*complete.momentum == 0.0 || complete.dampening > 0.0)) {
    return make_error(ErrorCode::invalid_config,
                      "train.optimizer.nesterov: sgd's needs a momentum above 0 and no dampening");
  }
  return entry->make({complete, parameters, allocator, std::move(ranges)});
}

Result<double> optimizer_bytes_per_parameter(const OptimizerOptions& options) {
  COLLIE_TRY(const NamedOptimizer* entry, find_optimizer(options.name));
  const int count = entry->state_count(completed(options, entry->defaults));
  return count * static_cast<double>(size_of(options.state_dtype));
}

std::vector<DecayRange> decay_ranges(const Parameters& parameters) {
  std::vector<DecayRange> ranges;
  for (int index = 0; index < parameters.count(); ++index) {
    if (parameters.is_alias(index) || !parameters.is_trainable(index)) continue;
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
