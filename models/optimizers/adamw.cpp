#include "models/optimizers/adamw.hpp"

#include "kernels/adamw.hpp"
#include "models/host_copy.hpp"

namespace collie {

namespace {

class AdamW : public Optimizer {
 public:
  AdamW(const OptimizerOptions& options, const Parameters& parameters, Allocator& allocator)
      : options_(options),
        ranges_(decay_ranges(parameters)),
        m_(allocate_zeros(allocator, DType::f32, parameters.values().shape())),
        v_(allocate_zeros(allocator, DType::f32, parameters.values().shape())) {}

  void step(Stream& stream, const OptimizerStep& step, Parameters& parameters) override {
    const bool has_copy = !parameters.computes().shares_buffer_with(parameters.values());
    for (const DecayRange& range : ranges_) {
      kernels::AdamWStep update;
      update.learning_rate = static_cast<float>(step.learning_rate);
      update.beta1 = static_cast<float>(options_.beta1);
      update.beta2 = static_cast<float>(options_.beta2);
      update.epsilon = static_cast<float>(options_.epsilon);
      update.weight_decay = range.decay ? static_cast<float>(options_.weight_decay) : 0.0F;
      update.gradient_scale = static_cast<float>(step.gradient_scale);
      update.step = step.step;
      Tensor values = parameters.values().rows(range.begin, range.end);
      Tensor m = m_.rows(range.begin, range.end);
      Tensor v = v_.rows(range.begin, range.end);
      Tensor copy = has_copy ? parameters.computes().rows(range.begin, range.end) : Tensor();
      const Tensor gradient = parameters.gradients().rows(range.begin, range.end);
      kernels::adamw_step(stream, update, values, gradient, m, v, copy);
    }
  }

  void direction(Stream& stream, const Parameters& parameters, std::int64_t updates_done,
                 Tensor& out) const override {
    for (const DecayRange& range : ranges_) {
      kernels::AdamWStep step;
      step.beta1 = options_.beta1;
      step.beta2 = options_.beta2;
      step.epsilon = options_.epsilon;
      step.weight_decay = range.decay ? options_.weight_decay : 0.0;
      step.step = updates_done;
      Tensor part = out.rows(range.begin, range.end);
      kernels::adamw_direction(stream, step, parameters.values().rows(range.begin, range.end),
                               m_.rows(range.begin, range.end), v_.rows(range.begin, range.end),
                               part);
    }
  }

  std::vector<OptimizerState> state() override { return {{"exp_avg", &m_}, {"exp_avg_sq", &v_}}; }

 private:
  OptimizerOptions options_;
  std::vector<DecayRange> ranges_;
  Tensor m_, v_;
};

}  // namespace

std::unique_ptr<Optimizer> make_adamw(const OptimizerOptions& options, const Parameters& parameters,
                                      Allocator& allocator) {
  return std::make_unique<AdamW>(options, parameters, allocator);
}

}  // namespace collie
