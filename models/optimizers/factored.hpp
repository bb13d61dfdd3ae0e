// The rule that Adafactor (Shazeer & Stern 2018) and AdaLomo (Lv et al. 2023) share. State: one
// number a row and one a column of each matrix, one an element of each vector, always f32; with
// beta1 > 0 a first moment beside them.
#pragma once

#include "models/optimizers/rules.hpp"

namespace collie {

struct FactoredRule {
  double epsilon = 1e-30;                 // added to squared gradients
  double decay_rate = 0.8;                // the second moment decays by 1 - step^-decay_rate
  double clip_threshold = 1.0;            // of an update's root mean square
  double clip_value = 0.0;                // of a gradient's element; 0: none
  bool scale_parameter = true;            // rate times max(1e-3, the parameter's root mean square)
  Rounding rounding = Rounding::nearest;  // of values that are bf16 alone
};

// One parameter as its update sees it; matrices, a vector being one of a single row.
struct FactoredParameter {
  const ParameterSpec& spec;
  Tensor value, gradient, copy;  // [R, C]; value: f32, or bf16; copy: bf16, or undefined
  Tensor row_moments;            // [R], undefined for vectors
  Tensor col_moments;            // [C]
  Tensor exp_avg;                // [R, C], or undefined
};

// The update of one parameter from its gradient alone; pauses twice where it is cut over shards.
// The step's learning rate is used as it is.
Steps factored_update(Stream& stream, FactoredRule rule, OptimizerStep step, ParameterRule own,
                      FactoredParameter parameter);

// Updates its parameters one after the other.
class FactoredOptimizer : public Optimizer {
 public:
  FactoredOptimizer(const OptimizerSetup& setup, const FactoredRule& rule);
  Steps step(Stream& stream, OptimizerStep step, Parameters& parameters) final;
  bool can_step_one() const final { return true; }
  Steps step_one(Stream& stream, OptimizerStep step, Parameters& parameters, int parameter) final;
  bool is_elementwise() const final { return false; }
  std::vector<OptimizerState> state() final;

 protected:
  virtual double learning_rate(const OptimizerStep& step) const { return step.learning_rate; }

 private:
  struct Entry {
    UpdateParameter update;
    std::int64_t row_begin = 0, col_begin = 0;  // in the moments; col: of vectors in vectors_
  };
  Steps step_entry(Stream& stream, OptimizerStep step, Parameters& parameters,
                   const Entry& entry) const;
  FactoredParameter view(Parameters& parameters, const Entry& entry) const;

  FactoredRule rule_;
  std::vector<Entry> entries_;
  std::vector<StatePart> row_parts_, col_parts_, vector_parts_, element_parts_;
  Tensor rows_, cols_, vectors_, exp_avg_;
};

}  // namespace collie
