// Adafactor (Shazeer & Stern 2018) as Hugging Face transformers has it, with its relative steps.
#include <algorithm>
#include <cmath>

#include "models/optimizers/factored.hpp"

namespace collie {

namespace {

FactoredRule rule_for(const OptimizerOptions& options) {
  return {.epsilon = *options.epsilon,
          .decay_rate = options.decay_rate,
          .clip_threshold = options.clip_threshold,
          .clip_value = 0.0,
          .scale_parameter = options.scale_parameter,
          .rounding = options.rounding};
}

class Adafactor final : public FactoredOptimizer {
 public:
  explicit Adafactor(const OptimizerSetup& setup)
      : FactoredOptimizer(setup, rule_for(setup.options)),
        relative_step_(setup.options.relative_step),
        warmup_init_(setup.options.warmup_init) {}

 private:
  double learning_rate(const OptimizerStep& step) const override {
    if (!relative_step_) return step.learning_rate;
    const auto count = static_cast<double>(step.step);
    return std::min(warmup_init_ ? 1e-6 * count : 1e-2, 1.0 / std::sqrt(count));
  }

  bool relative_step_, warmup_init_;
};

}  // namespace

std::unique_ptr<Optimizer> make_adafactor(const OptimizerSetup& setup) {
  return std::make_unique<Adafactor>(setup);
}

}  // namespace collie
