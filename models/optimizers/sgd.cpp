// Stochastic gradient descent, the same as torch.optim.SGD. Without momentum it has no state.
#include "kernels/sgd.hpp"

#include "kernels/elementwise.hpp"
#include "models/optimizers/elementwise.hpp"

namespace collie {

namespace {

class Sgd final : public ElementwiseOptimizer {
 public:
  explicit Sgd(const OptimizerSetup& setup)
      : ElementwiseOptimizer(setup, *setup.options.momentum > 0.0
                                        ? std::vector<std::string>{"momentum_buffer"}
                                        : std::vector<std::string>{}) {}

  bool has_direction() const override { return *options().momentum > 0.0; }
  void direction(Stream& stream, const Parameters&, std::int64_t, Tensor& out) const override {
    for (const UpdateRange& range : ranges()) {
      Tensor part = out.rows(range.begin, range.end);
      kernels::cast(stream, range.of_state(state(0)), part);
    }
  }

 private:
  void update(Stream& stream, RangeUpdate& range) const override {
    Tensor velocity = range.states.empty() ? Tensor() : range.states[0];
    kernels::sgd_step(stream,
                      {.learning_rate = range.step.learning_rate,
                       .momentum = *options().momentum,
                       .weight_decay = range.rule.weight_decay,
                       .gradient_scale = range.step.gradient_scale,
                       .dampening = range.step.step == 1 ? 0.0 : options().dampening,
                       .nesterov = *options().nesterov},
                      range.values, range.gradient, velocity, range.copy);
  }
};

}  // namespace

std::unique_ptr<Optimizer> make_sgd(const OptimizerSetup& setup) {
  return std::make_unique<Sgd>(setup);
}

}  // namespace collie
