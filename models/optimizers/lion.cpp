// Lion (Chen et al. 2023, Symbolic Discovery of Optimization Algorithms, Algorithm 2).
#include "kernels/lion.hpp"

#include "models/optimizers/elementwise.hpp"

namespace collie {

namespace {

class Lion final : public ElementwiseOptimizer {
 public:
  explicit Lion(const OptimizerSetup& setup) : ElementwiseOptimizer(setup, {"exp_avg"}) {}

 private:
  void update(Stream& stream, RangeUpdate& range) const override {
    kernels::lion_step(stream,
                       {.learning_rate = range.step.learning_rate,
                        .beta1 = range.rule.beta1,
                        .beta2 = range.rule.beta2,
                        .weight_decay = range.rule.weight_decay,
                        .gradient_scale = range.step.gradient_scale},
                       range.values, range.gradient, range.states[0], range.copy);
  }
};

}  // namespace

std::unique_ptr<Optimizer> make_lion(const OptimizerSetup& setup) {
  return std::make_unique<Lion>(setup);
}

}  // namespace collie
