// Optimizers update one shard's flat parameters from its flat gradients.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "models/parameters.hpp"

namespace collie {

struct OptimizerOptions {
  std::string name = "adamw";
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.0;  // only where ParameterSpec::decay
  double momentum = 0.9;      // sgd
};

struct OptimizerStep {
  std::int64_t step = 1;  // 1 for the first update
  double learning_rate = 0.0;
  double gradient_scale = 1.0;  // clipping; the gradient is read once and scaled on the way
};

// One flat f32 store of state, laid out like Parameters::values().
struct OptimizerState {
  std::string name;  // "exp_avg", as checkpoints call it
  Tensor* values;
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // From inside work submitted to the stream.
  virtual void step(Stream& stream, const OptimizerStep& step, Parameters& parameters) = 0;
  // Where the weights are heading, per unit of learning rate and against its sign: values -
  // learning_rate * out is about where the next update leads. `updates_done` so far, at least 1;
  // out is f32, laid out like values(). From inside work submitted to the stream.
  virtual void direction(Stream& stream, const Parameters& parameters, std::int64_t updates_done,
                         Tensor& out) const = 0;
  virtual std::vector<OptimizerState> state() = 0;
};

// By options.name; unknown names are errors that list the known. State starts at zero.
Result<std::unique_ptr<Optimizer>> make_optimizer(const OptimizerOptions& options,
                                                  const Parameters& parameters,
                                                  Allocator& allocator);

// Bytes of state per parameter, for planning.
Result<double> optimizer_bytes_per_parameter(std::string_view name);

// Consecutive parameters with the same decay rule, as ranges of the flat stores.
struct DecayRange {
  std::int64_t begin = 0, end = 0;
  bool decay = true;
};
std::vector<DecayRange> decay_ranges(const Parameters& parameters);

}  // namespace collie
