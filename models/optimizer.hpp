// Optimizers update one shard's flat parameters from its flat gradients. An optimizer is made for
// the ranges of the stores that it is responsible for, and its state has their size: for all that
// is trained, or for the part that falls to one of several replicas.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/parameters.hpp"
#include "models/segment.hpp"
#include "runtime/optimizer_section.hpp"

namespace collie {

using OptimizerOptions = OptimizerSection;

struct OptimizerStep {
  std::int64_t step = 1;  // 1 for the first update
  double learning_rate = 0.0;
  double gradient_scale = 1.0;  // clipping; the gradient is read once and scaled on the way
  std::uint64_t seed = 0;       // of stochastic rounding
};

// What one kind of state has of one parameter: numbers `offset` and following of the state belong
// to the elements, rows or columns [begin, end) of this shard's part of the parameter.
enum class StateAxis { elements, rows, columns };
struct StatePart {
  int parameter = 0;
  StateAxis axis = StateAxis::elements;
  std::int64_t begin = 0, end = 0;
  std::int64_t offset = 0;
};

// One kind of state: flat, f32 or bf16.
struct OptimizerState {
  std::string name;  // "exp_avg", as checkpoints call it
  Tensor* values;
  std::vector<StatePart> parts;  // in the order of the parameters
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // A coroutine that pauses where an update needs what other tensor shards of the stage have; all
  // of them pause alike. To be run from inside work submitted to the stream.
  [[nodiscard]] virtual Steps step(Stream& stream, OptimizerStep step, Parameters& parameters) = 0;
  // The update of one parameter alone, for updates within the backward: the same as step() makes.
  virtual bool can_step_one() const { return false; }
  [[nodiscard]] virtual Steps step_one(Stream& stream, OptimizerStep step, Parameters& parameters,
                                       int parameter);
  // Whether each element is updated from its own gradient and state alone: step() never pauses,
  // and the ranges may begin and end anywhere that is a multiple of 16. Otherwise each parameter
  // must lie in them whole or not at all.
  virtual bool is_elementwise() const = 0;
  // Where the weights are heading, per unit of learning rate and against its sign: values -
  // learning_rate * out is about where the next update leads. `updates_done` so far, at least 1;
  // out is f32, laid out like values(); only the optimizer's ranges of it are written. From inside
  // work submitted to the stream, and only where there is a direction.
  virtual bool has_direction() const { return false; }
  virtual void direction(Stream& stream, const Parameters& parameters, std::int64_t updates_done,
                         Tensor& out) const;
  virtual std::vector<OptimizerState> state() = 0;
  // Whether the update after this many needs the curvature anew; and its estimate from gradients of
  // the mean loss over `tokens` labels that were drawn from the model itself (Sophia, Algorithm 2).
  virtual bool wants_hessian(std::int64_t) const { return false; }
  virtual void update_hessian(Stream& stream, double tokens, Parameters& parameters);
};

// Options with the optimizer's own defaults where none are given. An unknown name is an error that
// lists the known ones and the nearest.
Result<OptimizerOptions> with_defaults(OptimizerOptions options);

// By options.name, for everything that is trained or for these ranges, in ascending order. State
// starts at zero.
Result<std::unique_ptr<Optimizer>> make_optimizer(const OptimizerOptions& options,
                                                  const Parameters& parameters,
                                                  Allocator& allocator);
Result<std::unique_ptr<Optimizer>> make_optimizer(const OptimizerOptions& options,
                                                  const Parameters& parameters,
                                                  Allocator& allocator,
                                                  std::vector<StoreRange> ranges);

// Bytes of state per parameter of a hidden matrix, for planning; what adafactor and adalomo keep of
// each row and column is not counted.
Result<double> optimizer_bytes_per_parameter(const OptimizerOptions& options);

// Consecutive parameters with the same decay rule, as ranges of the flat stores.
struct DecayRange {
  std::int64_t begin = 0, end = 0;
  bool decay = true;
};
std::vector<DecayRange> decay_ranges(const Parameters& parameters);

// All elements of these ranges as parts of a state that is as long as they are together.
std::vector<StatePart> element_parts(const Parameters& parameters,
                                     const std::vector<StoreRange>& ranges);
// ... of a state that is laid out like values().
std::vector<StatePart> element_parts(const Parameters& parameters);

}  // namespace collie
