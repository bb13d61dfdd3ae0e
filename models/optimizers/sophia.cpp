// Sophia-G (Liu et al. 2023, Algorithm 3 with the Gauss-Newton-Bartlett estimate, Algorithm 2).
#include "kernels/sophia.hpp"

#include "models/optimizers/elementwise.hpp"

namespace collie {

namespace {

class Sophia final : public ElementwiseOptimizer {
 public:
  explicit Sophia(const OptimizerSetup& setup)
      : ElementwiseOptimizer(setup, {"exp_avg", "hessian"}) {}

  bool wants_hessian(std::int64_t updates_done) const override {
    return updates_done % options().hessian_interval == 0;
  }
  void update_hessian(Stream& stream, double tokens, Parameters& parameters) override {
    for (const UpdateRange& range : ranges()) {
      Tensor hessian = range.of_state(state(1));
      kernels::sophia_hessian(stream, range.rule.beta2, tokens,
                              parameters.gradient_range(range.begin, range.end), hessian);
    }
  }

 private:
  void update(Stream& stream, RangeUpdate& range) const override {
    kernels::sophia_step(stream,
                         {.learning_rate = range.step.learning_rate,
                          .beta1 = range.rule.beta1,
                          .rho = options().rho,
                          .weight_decay = range.rule.weight_decay,
                          .gradient_scale = range.step.gradient_scale},
                         range.values, range.gradient, range.states[0], range.states[1],
                         range.copy);
  }
};

}  // namespace

std::unique_ptr<Optimizer> make_sophia(const OptimizerSetup& setup) {
  return std::make_unique<Sophia>(setup);
}

}  // namespace collie
