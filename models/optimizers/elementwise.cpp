#include "models/optimizers/elementwise.hpp"

#include <algorithm>

#include "models/host_copy.hpp"
#include "models/optimizers/rounded_values.hpp"

namespace collie {

ElementwiseOptimizer::ElementwiseOptimizer(const OptimizerSetup& setup,
                                           std::vector<std::string> state_names)
    : options_(setup.options),
      ranges_(update_ranges(setup)),
      parts_(element_parts(setup.parameters, setup.ranges)),
      names_(std::move(state_names)) {
  const Shape shape{element_count(setup.ranges)};
  for (std::size_t i = 0; i < names_.size(); ++i) {
    states_.push_back(allocate_zeros(setup.allocator, setup.options.state_dtype, shape));
  }
}

Steps ElementwiseOptimizer::step(Stream& stream, OptimizerStep step, Parameters& parameters) {
  for (int index = 0; !parameters.has_master_weights() && index < parameters.count(); ++index) {
    if (parameters.is_alias(index) || !parameters.is_trainable(index)) continue;
    update_narrow(stream, step, index, parameters);
  }
  for (const UpdateRange& range : ranges_) {
    if (!parameters.has_master_weights()) break;
    update_elements(stream, step, range, parameters.gradient_range(range.begin, range.end),
                    parameters);
  }
  co_return;
}

Steps ElementwiseOptimizer::step_one(Stream& stream, OptimizerStep step, Parameters& parameters,
                                     int parameter) {
  if (parameters.has_master_weights()) {
    const UpdateRange own = elements_of(parameters, parameter);
    const Tensor gradient = parameters.gradient(parameter).reshaped({own.count()});
    update_elements(stream, step, own, gradient, parameters);
  } else {
    update_narrow(stream, step, parameter, parameters);
  }
  co_return;
}

UpdateRange ElementwiseOptimizer::elements_of(const Parameters& parameters, int parameter) const {
  const std::int64_t begin = parameters.offset(parameter);
  const std::int64_t end =
      begin + parameters.specs()[static_cast<std::size_t>(parameter)].local_count();
  const auto range = std::ranges::find_if(ranges_, [begin, end](const UpdateRange& candidate) {
    return candidate.begin <= begin && end <= candidate.end;
  });
  COLLIE_CHECK(range != ranges_.end(), "parameter {} is not updated here", parameter);
  return {begin, end, range->state_begin + begin - range->begin, range->rule};
}

RangeUpdate ElementwiseOptimizer::piece_of(const OptimizerStep& step,
                                           const UpdateRange& elements) const {
  RangeUpdate piece;
  piece.step = step;
  piece.step.learning_rate *= elements.rule.lr_scale;
  piece.rule = elements.rule;
  for (const Tensor& whole : states_) piece.states.push_back(elements.of_state(whole));
  return piece;
}

void ElementwiseOptimizer::update_elements(Stream& stream, const OptimizerStep& step,
                                           const UpdateRange& elements, const Tensor& gradient,
                                           Parameters& parameters) const {
  RangeUpdate piece = piece_of(step, elements);
  piece.values = parameters.value_range(elements.begin, elements.end);
  piece.gradient = gradient;
  piece.copy = compute_copy(parameters, elements.begin, elements.end);
  update(stream, piece);
}

void ElementwiseOptimizer::update_narrow(Stream& stream, const OptimizerStep& step, int parameter,
                                         Parameters& parameters) const {
  const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(parameter)];
  const UpdateRange own = elements_of(parameters, parameter);
  const Tensor gradient = parameters.gradient(parameter).reshaped({own.count()});
  const std::int64_t cols = spec.local_cols();
  update_rounded(stream, options_.rounding, step, spec, parameters.value(parameter),
                 [&](RowBlock rows, Tensor& values) {
                   const std::int64_t begin = rows.begin * cols, end = rows.end * cols;
                   RangeUpdate piece = piece_of(step, {own.begin + begin, own.begin + end,
                                                       own.state_begin + begin, own.rule});
                   piece.values = values.reshaped({end - begin});
                   piece.gradient = gradient.rows(begin, end);
                   update(stream, piece);
                 });
}

std::vector<OptimizerState> ElementwiseOptimizer::state() {
  std::vector<OptimizerState> found;
  for (std::size_t i = 0; i < names_.size(); ++i) {
    found.push_back({names_[i], &states_[i], parts_});
  }
  return found;
}

}  // namespace collie
