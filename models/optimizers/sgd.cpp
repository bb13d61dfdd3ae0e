#include "models/optimizers/sgd.hpp"

#include "kernels/elementwise.hpp"
#include "kernels/sgd.hpp"
#include "models/host_copy.hpp"

namespace collie {

namespace {

class Sgd : public Optimizer {
 public:
  Sgd(const OptimizerOptions& options, const Parameters& parameters, Allocator& allocator)
      : options_(options),
        ranges_(decay_ranges(parameters)),
        velocity_(allocate_zeros(allocator, DType::f32, parameters.values().shape())) {}

  void step(Stream& stream, const OptimizerStep& step, Parameters& parameters) override {
    const bool has_copy = !parameters.computes().shares_buffer_with(parameters.values());
    for (const DecayRange& range : ranges_) {
      const kernels::SgdStep update{.learning_rate = step.learning_rate,
                                    .momentum = options_.momentum,
                                    .weight_decay = range.decay ? options_.weight_decay : 0.0,
                                    .gradient_scale = step.gradient_scale};
      Tensor values = parameters.values().rows(range.begin, range.end);
      Tensor velocity = velocity_.rows(range.begin, range.end);
      Tensor copy = has_copy ? parameters.computes().rows(range.begin, range.end) : Tensor();
      const Tensor gradient = parameters.gradients().rows(range.begin, range.end);
      kernels::sgd_step(stream, update, values, gradient, velocity, copy);
    }
  }

  void direction(Stream& stream, const Parameters&, std::int64_t, Tensor& out) const override {
    kernels::cast(stream, velocity_, out);
  }

  std::vector<OptimizerState> state() override { return {{"momentum_buffer", &velocity_}}; }

 private:
  OptimizerOptions options_;
  std::vector<DecayRange> ranges_;
  Tensor velocity_;
};

}  // namespace

std::unique_ptr<Optimizer> make_sgd(const OptimizerOptions& options, const Parameters& parameters,
                                    Allocator& allocator) {
  return std::make_unique<Sgd>(options, parameters, allocator);
}

}  // namespace collie
