// AdaLomo (Lv et al. 2023) as its authors' code has it: Adafactor's rule without a first moment.
#include "models/optimizers/factored.hpp"

namespace collie {

namespace {

FactoredRule adalomo_rule_for(const OptimizerOptions& options) {
  return {.epsilon = *options.epsilon,
          .decay_rate = options.decay_rate,
          .clip_threshold = options.clip_threshold,
          .clip_value = options.clip_value,
          .scale_parameter = true,
          .rounding = options.rounding};
}

}  // namespace

std::unique_ptr<Optimizer> make_adalomo(const OptimizerSetup& setup) {
  return std::make_unique<FactoredOptimizer>(setup, adalomo_rule_for(setup.options));
}

}  // namespace collie
