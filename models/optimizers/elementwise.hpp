// What optimizers share whose update of an element looks at that element alone.
#pragma once

#include "models/optimizers/rules.hpp"

namespace collie {

// One range of the stores and of every state, in the order the states were named.
struct RangeUpdate {
  OptimizerStep step;  // with the range's own learning rate
  ParameterRule rule;
  Tensor values, gradient, copy;  // copy: bf16, or undefined
  std::vector<Tensor> states;
};

class ElementwiseOptimizer : public Optimizer {
 public:
  Steps step(Stream& stream, OptimizerStep step, Parameters& parameters) final;
  bool can_step_one() const final { return true; }
  Steps step_one(Stream& stream, OptimizerStep step, Parameters& parameters, int parameter) final;
  bool is_elementwise() const final { return true; }
  std::vector<OptimizerState> state() final;

 protected:
  ElementwiseOptimizer(const OptimizerSetup& setup, std::vector<std::string> state_names);
  virtual void update(Stream& stream, RangeUpdate& range) const = 0;

  const OptimizerOptions& options() const { return options_; }
  const std::vector<UpdateRange>& ranges() const { return ranges_; }
  const Tensor& state(std::size_t which) const { return states_[which]; }

 private:
  UpdateRange elements_of(const Parameters& parameters, int parameter) const;
  // Elements [begin, end), which have this rule, from their gradient.
  void update_elements(Stream& stream, const OptimizerStep& step, const UpdateRange& elements,
                       const Tensor& gradient, Parameters& parameters) const;
  // All elements of a parameter whose values are bfloat16 alone.
  void update_narrow(Stream& stream, const OptimizerStep& step, int parameter,
                     Parameters& parameters) const;
  RangeUpdate piece_of(const OptimizerStep& step, const UpdateRange& elements) const;

  OptimizerOptions options_;
  std::vector<UpdateRange> ranges_;
  std::vector<StatePart> parts_;
  std::vector<std::string> names_;
  std::vector<Tensor> states_;
};

}  // namespace collie
