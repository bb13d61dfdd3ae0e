#include "kernels/blend.hpp"
#include "kernels/elementwise.hpp"
#include "models/delay_corrections/rules.hpp"
#include "models/host_copy.hpp"

namespace collie {

namespace {

// d_t = momentum * (w_t - w_{t-1}); forward and backward read w_t + d_t;
// w_{t+1} = w_t + d_t - learning_rate * (1 - momentum) * gradient. Weight decay is a part of the
// gradient, taken at w_t + d_t, and reaches norms and biases no more than elsewhere.
class NesterovLookAhead : public DelayCorrection {
 public:
  NesterovLookAhead(const OptimizerOptions& options, const Parameters& parameters,
                    Allocator& allocator)
      : options_(options),
        ranges_(decay_ranges(parameters)),
        parts_(element_parts(parameters)),
        moved_(allocate_zeros(allocator, DType::f32, {parameters.trainable_elements()})),
        ahead_(
            allocate_zeros(allocator, parameters.compute_dtype(), shape_of_computes(parameters))) {}

  void begin_round() override { made_for_ = -1; }

  Tensor forward_weights(Stream& stream, Parameters& parameters, const DelayPoint& at) override {
    if (made_for_ != at.updates_of_round) {
      carry_weights(stream, parameters, *options_.momentum, moved_, ahead_);
    }
    made_for_ = at.updates_of_round;
    return ahead_;
  }
  Tensor backward_weights(Stream& stream, Parameters& parameters, const DelayPoint& at) override {
    return forward_weights(stream, parameters, at);
  }

  void update(Stream& stream, const OptimizerStep& step, int, Parameters& parameters) override {
    const Shape& shape = moved_.shape();
    const double rate = step.learning_rate * (1.0 - *options_.momentum);
    Tensor ahead = stream.allocate(DType::f32, shape);
    Tensor values = parameters.values().rows(0, parameters.trainable_elements());
    kernels::blend(stream, 1.0F, values, static_cast<float>(*options_.momentum), moved_, ahead);
    Tensor next = stream.allocate(DType::f32, shape);
    for (const DecayRange& range : ranges_) {
      const double decay = range.decay ? *options_.weight_decay : 0.0;
      Tensor part = next.rows(range.begin, range.end);
      kernels::blend(stream, static_cast<float>(1.0 - rate * decay),
                     ahead.rows(range.begin, range.end),
                     static_cast<float>(-rate * step.gradient_scale),
                     parameters.gradients().rows(range.begin, range.end), part);
    }
    kernels::blend(stream, 1.0F, next, -1.0F, values, moved_);
    kernels::cast(stream, next, values);
    parameters.refresh_compute(stream);
  }

  std::vector<OptimizerState> state() override { return {{"weight_movement", &moved_, parts_}}; }

 private:
  OptimizerOptions options_;
  std::vector<DecayRange> ranges_;
  std::vector<StatePart> parts_;
  Tensor moved_;  // w_t - w_{t-1}
  Tensor ahead_;
  int made_for_ = -1;  // updates of this round
};

}  // namespace

std::unique_ptr<DelayCorrection> make_nesterov_look_ahead(const OptimizerOptions& options,
                                                          const Parameters& parameters,
                                                          Allocator& allocator) {
  return std::make_unique<NesterovLookAhead>(options, parameters, allocator);
}

}  // namespace collie
