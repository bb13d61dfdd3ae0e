#include <cmath>

#include "kernels/blend.hpp"
#include "kernels/elementwise.hpp"
#include "models/delay_corrections/rules.hpp"
#include "models/host_copy.hpp"

namespace collie {

namespace {

// PipeMare's D: what a difference still counts after as many updates as the delay has.
const double decay_over_delay = std::exp(-2.0);

// T1: a learning rate that a stage's delay bears. T2: the backward reads the latest weights moved
// back by the delay times a running mean of their movement, about where the forward read them.
class Discrepancy : public DelayCorrection {
 public:
  Discrepancy(const DelayCorrectionOptions& options, Optimizer& optimizer,
              const Parameters& parameters, Allocator& allocator)
      : options_(options), optimizer_(optimizer), parts_(element_parts(parameters)) {
    movement_ = allocate_zeros(allocator, DType::f32, {parameters.trainable_elements()});
    if (!moves_back()) return;
    keep_ = std::pow(decay_over_delay, 1.0 / options.mismatch);
    backward_ =
        allocate_zeros(allocator, parameters.compute_dtype(), shape_of_computes(parameters));
  }

  Tensor forward_weights(Stream&, Parameters&, const DelayPoint&) override { return {}; }

  Tensor backward_weights(Stream& stream, Parameters& parameters, const DelayPoint& at) override {
    // In the synchronous phase a backward reads what its forward read.
    if (!moves_back() || at.updates_of_round < options_.warm_up_updates) return {};
    carry_weights(stream, parameters, -options_.mismatch, movement_, backward_);
    return backward_;
  }

  void update(Stream& stream, const OptimizerStep& step, int updates_of_round,
              Parameters& parameters) override {
    OptimizerStep annealed = step;
    if (updates_of_round >= options_.warm_up_updates) {
      annealed.learning_rate = annealed_learning_rate(step.learning_rate, options_.staleness,
                                                      step.step - 1, options_.anneal_updates);
    }
    if (!moves_back()) {
      update_alone(stream, optimizer_, annealed, parameters);
      return;
    }
    Tensor moved = stream.allocate(DType::f32, movement_.shape());
    const Tensor values = parameters.values().rows(0, parameters.trainable_elements());
    kernels::cast(stream, values, moved);
    update_alone(stream, optimizer_, annealed, parameters);
    kernels::blend(stream, 1.0F, values, -1.0F, moved, moved);
    kernels::blend(stream, static_cast<float>(keep_), movement_, static_cast<float>(1.0 - keep_),
                   moved, movement_);
  }

  // Of a stage without delay too, at zero: checkpoints hold the same kinds of state of all stages.
  std::vector<OptimizerState> state() override { return {{"weight_movement", &movement_, parts_}}; }

 private:
  bool moves_back() const { return options_.mismatch > 0; }

  DelayCorrectionOptions options_;
  Optimizer& optimizer_;
  std::vector<StatePart> parts_;
  double keep_ = 0.0;
  Tensor movement_;  // running mean of an update's change of the weights
  Tensor backward_;
};

}  // namespace

std::unique_ptr<DelayCorrection> make_discrepancy_correction(const DelayCorrectionOptions& options,
                                                             Optimizer& optimizer,
                                                             const Parameters& parameters,
                                                             Allocator& allocator) {
  return std::make_unique<Discrepancy>(options, optimizer, parameters, allocator);
}

}  // namespace collie
