// AdamW (Loshchilov & Hutter 2019).
#include "kernels/adamw.hpp"

#include "models/optimizers/elementwise.hpp"

namespace collie {

namespace {

class AdamW final : public ElementwiseOptimizer {
 public:
  explicit AdamW(const OptimizerSetup& setup)
      : ElementwiseOptimizer(setup, {"exp_avg", "exp_avg_sq"}) {}

  bool has_direction() const override { return true; }
  void direction(Stream& stream, const Parameters& parameters, std::int64_t updates_done,
                 Tensor& out) const override {
    for (const UpdateRange& range : ranges()) {
      Tensor part = out.rows(range.begin, range.end);
      kernels::adamw_direction(stream, rule_step({updates_done, 0.0, 1.0}, range.rule),
                               parameters.values().rows(range.begin, range.end),
                               range.of_state(state(0)), range.of_state(state(1)), part);
    }
  }

 private:
  kernels::AdamWStep rule_step(const OptimizerStep& step, const ParameterRule& rule) const {
    return {.learning_rate = step.learning_rate,
            .beta1 = rule.beta1,
            .beta2 = rule.beta2,
            .epsilon = *options().epsilon,
            .weight_decay = rule.weight_decay,
            .gradient_scale = step.gradient_scale,
            .step = step.step};
  }
  void update(Stream& stream, RangeUpdate& range) const override {
    kernels::adamw_step(stream, rule_step(range.step, range.rule), range.values, range.gradient,
                        range.states[0], range.states[1], range.copy);
  }
};

}  // namespace

std::unique_ptr<Optimizer> make_adamw(const OptimizerSetup& setup) {
  return std::make_unique<AdamW>(setup);
}

}  // namespace collie
