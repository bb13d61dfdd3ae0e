#include "kernels/elementwise.hpp"
#include "models/delay_corrections/rules.hpp"
#include "models/host_copy.hpp"

namespace collie {

namespace {

// w - horizon * learning_rate * direction, where the weights will be about `horizon` updates on.
class WeightPrediction : public DelayCorrection {
 public:
  WeightPrediction(const DelayCorrectionOptions& options, Optimizer& optimizer,
                   const Parameters& parameters, Allocator& allocator)
      : options_(options), optimizer_(optimizer) {
    forward_.horizon = options.forward_horizon;
    backward_.horizon = options.backward_horizon;
    forward_.is_kept = options.at_places;
    backward_.is_kept = options.at_places && options.backwards_read_predictions;
    for (Prediction* prediction : {&forward_, &backward_}) {
      if (prediction->horizon == 0 && !prediction->is_kept) continue;
      prediction->weights =
          allocate_zeros(allocator, parameters.compute_dtype(), shape_of_computes(parameters));
    }
  }

  void begin_round() override { forward_.made_for = backward_.made_for = -1; }

  void predict(Stream& stream, Parameters& parameters, const DelayPoint& at) override {
    for (Prediction* prediction : {&forward_, &backward_}) {
      if (prediction->is_kept) make(*prediction, stream, parameters, at);
    }
  }

  Tensor forward_weights(Stream& stream, Parameters& parameters, const DelayPoint& at) override {
    return read(forward_, stream, parameters, at);
  }
  Tensor backward_weights(Stream& stream, Parameters& parameters, const DelayPoint& at) override {
    return read(backward_, stream, parameters, at);
  }

  void update(Stream& stream, const OptimizerStep& step, int, Parameters& parameters) override {
    update_alone(stream, optimizer_, step, parameters);
  }

 private:
  struct Prediction {
    int horizon = 0;
    bool is_kept = false;        // made at PREDICTs alone
    std::int64_t made_for = -1;  // updates done, or the group
    Tensor weights;
  };

  Tensor read(Prediction& prediction, Stream& stream, Parameters& parameters,
              const DelayPoint& at) {
    if (prediction.is_kept) return prediction.weights;
    if (prediction.horizon == 0 || options_.at_places) return {};
    const std::int64_t wanted =
        options_.once_per_group ? at.micro_batch / options_.group : at.updates_of_round;
    if (prediction.made_for == wanted) return prediction.weights;
    prediction.made_for = wanted;
    make(prediction, stream, parameters, at);
    return prediction.weights;
  }

  void make(Prediction& prediction, Stream& stream, Parameters& parameters, const DelayPoint& at) {
    if (prediction.horizon == 0) {
      kernels::cast(stream, parameters.computes(), prediction.weights);
      return;
    }
    const Shape shape{parameters.trainable_elements()};
    Tensor direction = stream.allocate(DType::f32, shape);
    // Before the first update there is no direction: the weights as they are.
    const double factor = at.updates_done > 0 ? -prediction.horizon * at.learning_rate : 0.0;
    if (at.updates_done > 0) {
      optimizer_.direction(stream, parameters, at.updates_done, direction);
    } else {
      direction = parameters.values().rows(0, parameters.trainable_elements());
    }
    carry_weights(stream, parameters, factor, direction, prediction.weights);
  }

  DelayCorrectionOptions options_;
  Optimizer& optimizer_;
  Prediction forward_, backward_;
};

}  // namespace

std::unique_ptr<DelayCorrection> make_weight_prediction(const DelayCorrectionOptions& options,
                                                        Optimizer& optimizer,
                                                        const Parameters& parameters,
                                                        Allocator& allocator) {
  return std::make_unique<WeightPrediction>(options, optimizer, parameters, allocator);
}

}  // namespace collie
