#include "models/value_shares.hpp"

#include <algorithm>
#include <charconv>

#include "kernels/elementwise.hpp"

namespace collie {

namespace {

// "layers.3.mlp.up" is of the second half of its layer.
std::size_t segment_of(const ParameterSpec& spec, std::int64_t layer_begin, std::size_t segments,
                       bool has_embedding) {
  constexpr std::string_view prefix = "layers.";
  const std::string& name = spec.name;
  if (name.starts_with(prefix)) {
    std::int64_t layer = 0;
    std::from_chars(name.data() + prefix.size(), name.data() + name.size(), layer);
    const bool is_mlp = name.find(".mlp.") != std::string::npos;
    return static_cast<std::size_t>((has_embedding ? 1 : 0) + 2 * (layer - layer_begin) +
                                    (is_mlp ? 1 : 0));
  }
  return name.starts_with("head") || name.starts_with("final_norm") ? segments - 1 : 0;
}

// Every replica takes the values of the others' shares.
Steps share_values(Stream& stream, Parameters& parameters) {
  const StoreRange own = parameters.own_share();
  Tensor mine = parameters.value_range(own.begin, own.end);
  std::vector<Tensor> parts;
  co_yield share_with_replicas(mine, parts);
  for (std::size_t replica = 0; replica < parts.size(); ++replica) {
    const StoreRange& share = parameters.shares()[replica];
    if (share == own || share.begin == share.end) continue;
    Tensor values = parameters.value_range(share.begin, share.end);
    kernels::cast(stream, parts[replica], values);
    if (parameters.computes().shares_buffer_with(parameters.values())) continue;
    Tensor copy = parameters.compute_range(share.begin, share.end);
    kernels::cast(stream, values, copy);
  }
}

}  // namespace

std::vector<std::vector<StoreRange>> ranges_of_segments(const Parameters& parameters,
                                                        std::int64_t layer_begin,
                                                        std::size_t segments, bool has_embedding) {
  std::vector<std::vector<StoreRange>> ranges(segments);
  for (int index = 0; index < parameters.count(); ++index) {
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
    const int held_as = parameters.is_alias(index) ? parameters.find(spec.tied_to) : index;
    ranges[segment_of(spec, layer_begin, segments, has_embedding)].push_back(
        parameters.group_of(held_as).range);
  }
  for (std::vector<StoreRange>& of_segment : ranges) {
    std::ranges::sort(of_segment, {}, &StoreRange::begin);
    std::vector<StoreRange> joined;
    for (const StoreRange& range : of_segment) {
      const bool crosses = range.begin == parameters.trainable_elements();
      if (!joined.empty() && range.begin <= joined.back().end && !crosses) {
        joined.back().end = std::max(joined.back().end, range.end);
      } else if (joined.empty() || range.begin >= joined.back().end) {
        joined.push_back(range);
      }
    }
    of_segment = std::move(joined);
  }
  return ranges;
}

Steps gather_values(Parameters& parameters, std::vector<StoreRange> ranges, int first_unit,
                    ParameterWindow& window) {
  parameters.values_from(nullptr);
  window.groups.clear();
  for (const StoreRange& range : ranges) {
    Tensor mine = parameters.held_computes(range);
    std::vector<Tensor> parts;
    Reduction gather = share_with_replicas(mine, parts);
    gather.unit = first_unit++;
    co_yield gather;
    const bool is_trained = range.begin < parameters.trainable_elements();
    const auto& shares = is_trained ? parameters.shares() : parameters.frozen_shares();
    for (int index = 0; index < parameters.count();) {
      const Parameters::Group group = parameters.group_of(index);
      const bool is_in = range.begin <= group.range.begin && group.range.end <= range.end;
      if (is_in && !parameters.is_alias(index) && group.range.begin < group.range.end) {
        const auto owner = static_cast<std::size_t>(parameters.owner_of(index));
        const std::int64_t first = std::max(range.begin, shares[owner].begin);
        window.groups.push_back(
            {group.first, parts[owner].rows(group.range.begin - first, group.range.end - first)});
      }
      index = group.last + 1;
    }
  }
  parameters.values_from(&window);
}

Steps update_and_share(Stream& stream, OptimizerStep step, Optimizer& optimizer,
                       Parameters& parameters) {
  Steps update = optimizer.step(stream, step, parameters);
  while (update.advance()) co_yield update.reduction();
  const Sharding& sharding = parameters.sharding();
  if (!sharding.shares_state() || sharding.shares_values()) co_return;
  Steps share = share_values(stream, parameters);
  while (share.advance()) co_yield share.reduction();
}

}  // namespace collie
