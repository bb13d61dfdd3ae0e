#include "models/gradient_buckets.hpp"

#include <algorithm>

#include "kernels/elementwise.hpp"

namespace collie {

namespace {

bool is_shared(const ParameterSpec& spec) {
  const bool is_summed_in_turn = spec.turn >= 0;
  return spec.trainable && !is_summed_in_turn &&
         spec.gradient_group_end > spec.gradient_group_begin + 1;
}

bool is_tied_copy(const ParameterSpec& spec) {
  return !spec.tied_to.empty();
}

Tensor flattened(const Tensor& tensor) {
  return tensor.reshaped({tensor.element_count()});
}

// The parameters whose gradients are packed, and where each stands in the pack.
struct Packed {
  int index;
  std::int64_t begin, end;
};

std::vector<Packed> packed_parameters(const Parameters& parameters) {
  std::vector<Packed> packed;
  std::int64_t end = 0;
  for (int index = 0; index < parameters.count(); ++index) {
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
    if (!is_shared(spec)) continue;
    packed.push_back({index, end, end + spec.local_count()});
    end = packed.back().end;
  }
  return packed;
}

// The gradient of the tied embedding on this stage: the table itself, or the head's copy of it.
Tensor tied_gradient(Parameters& parameters) {
  for (int index = 0; index < parameters.count(); ++index) {
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
    if (is_tied_copy(spec)) return flattened(parameters.gradient(index));
  }
  return flattened(parameters.gradient(0));  // the embedding is declared first
}

// Rank r of n owns [r, r + 1) / n of the flat gradient, in whole cache lines.
std::pair<std::int64_t, std::int64_t> slice_of(std::int64_t count, int rank, int ranks) {
  constexpr std::int64_t line_elements = 16;
  const std::int64_t lines = (count + line_elements - 1) / line_elements;
  const auto boundary = [&](int r) { return std::min(count, lines * r / ranks * line_elements); };
  return {boundary(rank), boundary(rank + 1)};
}

}  // namespace

bool has_shared_parameters(const std::vector<ParameterSpec>& specs) {
  return std::ranges::any_of(specs, is_shared);
}

Tensor pack_shared_gradients(Stream& stream, Parameters& parameters) {
  const std::vector<Packed> packed = packed_parameters(parameters);
  const std::int64_t count = packed.empty() ? 0 : packed.back().end;
  Tensor pack = stream.allocate(DType::f32, {count});
  for (const Packed& entry : packed) {
    Tensor target = pack.rows(entry.begin, entry.end);
    kernels::cast(stream, flattened(parameters.gradient(entry.index)), target);
  }
  return pack;
}

void sum_shared_gradients(Stream& stream, Parameters& parameters,
                          const std::vector<Tensor>& parts) {
  for (const Packed& entry : packed_parameters(parameters)) {
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(entry.index)];
    std::vector<Tensor> slices;
    for (int rank = spec.gradient_group_begin; rank < spec.gradient_group_end; ++rank) {
      slices.push_back(parts[static_cast<std::size_t>(rank)].rows(entry.begin, entry.end));
    }
    Tensor gradient = flattened(parameters.gradient(entry.index));
    kernels::sum_in_order(stream, slices, gradient);
  }
}

Tensor copy_tied_gradient(Stream& stream, Parameters& parameters) {
  const Tensor gradient = tied_gradient(parameters);
  Tensor copy = stream.allocate(gradient.dtype(), gradient.shape());
  kernels::cast(stream, gradient, copy);
  return copy;
}

void sum_tied_gradients(Stream& stream, Parameters& parameters, const std::vector<Tensor>& parts) {
  Tensor target = tied_gradient(parameters);
  kernels::sum_in_order(stream, parts, target);
}

void sum_own_slice(Stream& stream, Parameters& parameters, int rank,
                   const std::vector<Tensor>& parts) {
  const Tensor gradients = parameters.standing_gradients();
  const auto [begin, end] =
      slice_of(gradients.element_count(), rank, static_cast<int>(parts.size()));
  std::vector<Tensor> slices;
  for (const Tensor& part : parts) slices.push_back(part.rows(begin, end));
  Tensor target = gradients.rows(begin, end);
  kernels::sum_in_order(stream, slices, target);
}

void copy_other_slices(Stream& stream, Parameters& parameters, int rank,
                       const std::vector<Tensor>& parts) {
  const Tensor gradients = parameters.standing_gradients();
  const int ranks = static_cast<int>(parts.size());
  for (int other = 0; other < ranks; ++other) {
    if (other == rank) continue;
    const auto [begin, end] = slice_of(gradients.element_count(), other, ranks);
    Tensor target = gradients.rows(begin, end);
    kernels::cast(stream, parts[static_cast<std::size_t>(other)].rows(begin, end), target);
  }
}

void sum_own_share(Stream& stream, Parameters& parameters, const std::vector<Tensor>& parts) {
  const StoreRange own = parameters.own_share();
  if (own.begin == own.end) return;
  std::vector<Tensor> slices;
  for (const Tensor& part : parts) slices.push_back(part.rows(own.begin, own.end));
  Tensor target = parameters.gradient_range(own.begin, own.end);
  kernels::sum_in_order(stream, slices, target);
}

namespace {

// The sum over the tensor shards that hold the parameter; parts: of all of the stage.
Tensor sum_over_holders(Stream& stream, const ParameterSpec& spec,
                        const std::vector<Tensor>& parts) {
  Tensor sum = stream.allocate(DType::f32, {spec.local_count()});
  const auto first = parts.begin();
  kernels::sum_in_order(
      stream, std::vector(first + spec.gradient_group_begin, first + spec.gradient_group_end), sum);
  return sum;
}

// Of one parameter, flat.
Tensor part_of(const Parameters& parameters, const ParameterWindow::Group& group, int index) {
  const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
  const bool is_alias = parameters.is_alias(index);
  const std::int64_t begin =
      is_alias ? 0 : parameters.offset(index) - parameters.offset(group.first);
  return group.flat.rows(begin, begin + spec.local_count());
}

int last_of(const Parameters& parameters, const ParameterWindow::Group& group) {
  return parameters.is_alias(group.first) ? group.first : parameters.group_of(group.first).last;
}

}  // namespace

Steps reduce_to_owners(Stream& stream, Parameters& parameters, ParameterWindow& window) {
  parameters.gradients_into(nullptr);
  for (ParameterWindow::Group& group : window.groups) {
    for (int index = group.first; index <= last_of(parameters, group); ++index) {
      if (!parameters.is_trainable(index)) continue;
      const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
      Tensor part = part_of(parameters, group, index);
      if (is_shared(spec)) {
        std::vector<Tensor> of_shards;
        co_yield gather_over_shards(part, of_shards);
        part = sum_over_holders(stream, spec, of_shards);
      }
      std::vector<Tensor> of_replicas;
      co_yield gather_at_replica(parameters.owner_of(index), part, of_replicas);
      if (parameters.is_in_own_share(index)) {
        parameters.add_to_gradient(stream, index, std::move(of_replicas));
      }
    }
    group.flat.reset();
  }
  window.groups.clear();
}

}  // namespace collie
