// Adan (Xie et al. 2022, Algorithm 1, with the bias corrections of its authors' code).
#include "kernels/adan.hpp"

#include "models/optimizers/elementwise.hpp"

namespace collie {

namespace {

class Adan final : public ElementwiseOptimizer {
 public:
  explicit Adan(const OptimizerSetup& setup)
      : ElementwiseOptimizer(setup, {"exp_avg", "exp_avg_diff", "exp_avg_sq", "previous_grad"}) {}

 private:
  void update(Stream& stream, RangeUpdate& range) const override {
    kernels::adan_step(stream,
                       {.learning_rate = range.step.learning_rate,
                        .beta1 = range.rule.beta1,
                        .beta2 = range.rule.beta2,
                        .beta3 = options().beta3,
                        .epsilon = *options().epsilon,
                        .weight_decay = range.rule.weight_decay,
                        .is_proximal = options().proximal,
                        .gradient_scale = range.step.gradient_scale,
                        .step = range.step.step},
                       range.values, range.gradient, range.states, range.copy);
  }
};

}  // namespace

std::unique_ptr<Optimizer> make_adan(const OptimizerSetup& setup) {
  return std::make_unique<Adan>(setup);
}

}  // namespace collie
