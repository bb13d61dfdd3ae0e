// One maker per optimizer, and what they share: which hyperparameters hold for which elements.
#pragma once

#include "models/optimizer.hpp"

namespace collie {

// The options are complete: see with_defaults().
struct OptimizerSetup {
  const OptimizerOptions& options;
  const Parameters& parameters;
  Allocator& allocator;
  std::vector<StoreRange> ranges;
};

std::unique_ptr<Optimizer> make_sgd(const OptimizerSetup& setup);
std::unique_ptr<Optimizer> make_adamw(const OptimizerSetup& setup);
std::unique_ptr<Optimizer> make_lion(const OptimizerSetup& setup);
std::unique_ptr<Optimizer> make_adan(const OptimizerSetup& setup);
std::unique_ptr<Optimizer> make_sophia(const OptimizerSetup& setup);
std::unique_ptr<Optimizer> make_adafactor(const OptimizerSetup& setup);
std::unique_ptr<Optimizer> make_muon(const OptimizerSetup& setup);
std::unique_ptr<Optimizer> make_lomo(const OptimizerSetup& setup);
std::unique_ptr<Optimizer> make_adalomo(const OptimizerSetup& setup);

// The hyperparameters that groups and the rule for weight decay set, for one parameter.
struct ParameterRule {
  double lr_scale = 1.0;
  double weight_decay = 0.0;
  double beta1 = 0.0;
  double beta2 = 0.0;
  bool operator==(const ParameterRule&) const = default;
};
ParameterRule rule_of(const OptimizerOptions& options, const ParameterSpec& spec);

// A run of elements with the same rule; their state begins at state_begin of a store that is as
// long as the ranges together.
struct UpdateRange {
  std::int64_t begin = 0, end = 0;
  std::int64_t state_begin = 0;
  ParameterRule rule;

  std::int64_t count() const { return end - begin; }
  Tensor of_state(const Tensor& state) const {
    return state.rows(state_begin, state_begin + count());
  }
};
std::vector<UpdateRange> update_ranges(const OptimizerSetup& setup);
std::int64_t element_count(const std::vector<StoreRange>& ranges);

// A parameter that lies in the ranges as a whole.
struct UpdateParameter {
  int index = 0;
  std::int64_t state_begin = 0;  // of its elements, as in UpdateRange
  ParameterRule rule;
};
std::vector<UpdateParameter> update_parameters(const OptimizerSetup& setup);

// The bf16 copy of values [begin, end); undefined where the kernels read the values themselves.
Tensor compute_copy(Parameters& parameters, std::int64_t begin, std::int64_t end);

}  // namespace collie
