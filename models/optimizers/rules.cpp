#include "models/optimizers/rules.hpp"

#include <algorithm>

#include "runtime/glob.hpp"

namespace collie {

namespace {

// Calls visit(index, begin, end, state_begin) for what each trained parameter has in the ranges;
// with padding, or without.
template <class Visit>
void for_each_piece(const Parameters& parameters, const std::vector<StoreRange>& ranges,
                    bool with_padding, const Visit& visit) {
  for (int index = 0; index < parameters.count(); ++index) {
    if (parameters.is_alias(index) || !parameters.is_trainable(index)) continue;
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
    const std::int64_t first = parameters.offset(index);
    const std::int64_t last =
        first + (with_padding ? parameters.padded_count(index) : spec.local_count());
    std::int64_t state_begin = 0;
    for (const StoreRange& range : ranges) {
      const std::int64_t begin = std::max(first, range.begin);
      const std::int64_t end = std::min(last, range.end);
      if (begin < end) visit(index, begin, end, state_begin + begin - range.begin);
      state_begin += range.end - range.begin;
    }
  }
}

}  // namespace

ParameterRule rule_of(const OptimizerOptions& options, const ParameterSpec& spec) {
  ParameterRule rule;
  const bool decays = spec.decay || options.decay_scope == DecayScope::all;
  rule.weight_decay = decays ? *options.weight_decay : 0.0;
  rule.beta1 = *options.beta1;
  rule.beta2 = *options.beta2;
  for (const ParameterGroup& group : options.groups) {
    if (!matches_glob(group.pattern, spec.name) && !matches_glob(group.pattern, spec.hf.tensor)) {
      continue;
    }
    rule.lr_scale = group.lr_scale;
    rule.weight_decay = group.weight_decay.value_or(rule.weight_decay);
    rule.beta1 = group.beta1.value_or(rule.beta1);
    rule.beta2 = group.beta2.value_or(rule.beta2);
    break;
  }
  return rule;
}

std::vector<UpdateRange> update_ranges(const OptimizerSetup& setup) {
  std::vector<UpdateRange> found;
  for_each_piece(setup.parameters, setup.ranges, true,
                 [&](int index, std::int64_t begin, std::int64_t end, std::int64_t state_begin) {
                   const ParameterRule rule = rule_of(
                       setup.options, setup.parameters.specs()[static_cast<std::size_t>(index)]);
                   if (!found.empty() && found.back().rule == rule && found.back().end == begin &&
                       found.back().state_begin + found.back().count() == state_begin) {
                     found.back().end = end;
                   } else {
                     found.push_back({begin, end, state_begin, rule});
                   }
                 });
  return found;
}

std::vector<UpdateParameter> update_parameters(const OptimizerSetup& setup) {
  std::vector<UpdateParameter> found;
  for_each_piece(setup.parameters, setup.ranges, false,
                 [&](int index, std::int64_t begin, std::int64_t end, std::int64_t state_begin) {
                   const ParameterSpec& spec =
                       setup.parameters.specs()[static_cast<std::size_t>(index)];
                   COLLIE_CHECK(end - begin == spec.local_count(), "{} is cut for {}", spec.name,
                                setup.options.name);
                   found.push_back({index, state_begin, rule_of(setup.options, spec)});
                 });
  return found;
}

std::int64_t element_count(const std::vector<StoreRange>& ranges) {
  std::int64_t count = 0;
  for (const StoreRange& range : ranges) count += range.end - range.begin;
  return count;
}

std::vector<StatePart> element_parts(const Parameters& parameters,
                                     const std::vector<StoreRange>& ranges) {
  std::vector<StatePart> parts;
  for_each_piece(
      parameters, ranges, false,
      [&](int index, std::int64_t begin, std::int64_t end, std::int64_t state_begin) {
        const std::int64_t first = parameters.offset(index);
        parts.push_back({index, StateAxis::elements, begin - first, end - first, state_begin});
      });
  return parts;
}

std::vector<StatePart> element_parts(const Parameters& parameters) {
  return element_parts(parameters, {{0, parameters.trainable_elements()}});
}

Tensor compute_copy(Parameters& parameters, std::int64_t begin, std::int64_t end) {
  if (parameters.computes().shares_buffer_with(parameters.values())) return {};
  return parameters.compute_range(begin, end);
}

}  // namespace collie
