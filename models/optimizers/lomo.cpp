// LOMO (Lv et al. 2023): plain gradient descent with decoupled weight decay and no state. The order
// of the rule is the authors': clip each element, scale by the norm's clipping, decay, step.
#include "kernels/sgd.hpp"
#include "models/optimizers/elementwise.hpp"

namespace collie {

namespace {

class Lomo final : public ElementwiseOptimizer {
 public:
  explicit Lomo(const OptimizerSetup& setup) : ElementwiseOptimizer(setup, {}) {}

 private:
  void update(Stream& stream, RangeUpdate& range) const override {
    const double rate = range.step.learning_rate;
    Tensor none;
    kernels::sgd_step(stream,
                      {.learning_rate = rate,
                       .momentum = 0.0,
                       .gradient_scale = range.step.gradient_scale,
                       .clip_value = options().clip_value,
                       .shrink = 1.0 - rate * range.rule.weight_decay},
                      range.values, range.gradient, none, range.copy);
  }
};

}  // namespace

std::unique_ptr<Optimizer> make_lomo(const OptimizerSetup& setup) {
  return std::make_unique<Lomo>(setup);
}

}  // namespace collie
