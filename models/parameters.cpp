#include "models/parameters.hpp"

#include <algorithm>
#include <map>
#include <span>
#include <utility>

#include "kernels/elementwise.hpp"
#include "models/host_copy.hpp"
#include "models/name_hash.hpp"

namespace collie {

namespace {

constexpr std::int64_t alignment_elements = 16;

std::int64_t padded(std::int64_t count) {
  return (count + alignment_elements - 1) / alignment_elements * alignment_elements;
}

Tensor slice_of(const Tensor& store, std::int64_t begin, std::int64_t rows, std::int64_t cols,
                bool is_vector) {
  const Tensor flat = store.rows(begin, begin + rows * cols);
  return is_vector ? flat : flat.reshaped({rows, cols});
}

void fill_normal(Stream& stream, const ParameterSpec& spec, Tensor value, std::uint64_t seed) {
  const std::uint64_t id = hash_name(spec.tied_to.empty() ? spec.name : spec.tied_to);
  const auto stddev = static_cast<float>(spec.stddev);
  if (spec.local_cols() == spec.cols) {
    kernels::fill_normal(stream, value, stddev, seed, id, spec.row_begin * spec.cols);
    return;
  }
  for (std::int64_t row = 0; row < spec.local_rows(); ++row) {
    Tensor part = value.rows(row, row + 1);
    const std::int64_t first = (spec.row_begin + row) * spec.cols + spec.col_begin;
    kernels::fill_normal(stream, part, stddev, seed, id, first);
  }
}

}  // namespace

Parameters::Parameters(Allocator& allocator, std::vector<ParameterSpec> specs, DType compute_dtype,
                       bool with_gradients)
    : Parameters(allocator, std::move(specs),
                 ParameterStores{.compute_dtype = compute_dtype,
                                 .with_gradients = with_gradients,
                                 .master_weights = true,
                                 .sharding = {}}) {}

Parameters::Parameters(Allocator& allocator, std::vector<ParameterSpec> specs,
                       ParameterStores stores)
    : specs_(std::move(specs)), sharding_(stores.sharding), compute_dtype_(stores.compute_dtype) {
  COLLIE_CHECK(compute_dtype_ == DType::bf16 ||
               (compute_dtype_ == DType::f32 && stores.master_weights));
  offsets_.resize(specs_.size());
  ends_.resize(specs_.size());
  for (const ParameterSpec& spec : specs_) {
    alias_of_.push_back(spec.tied_to.empty() ? -1 : find(spec.tied_to));
  }
  trainable_elements_ = lay_out(true, 0);
  const std::int64_t end = lay_out(false, trainable_elements_);
  for (int index = 0; index < count(); ++index) {
    if (!is_alias(index)) continue;
    const auto source = static_cast<std::size_t>(alias_of_[static_cast<std::size_t>(index)]);
    const ParameterSpec& spec = specs_[static_cast<std::size_t>(index)];
    COLLIE_CHECK(specs_[source].local_count() == spec.local_count(), "tied {} differs", spec.name);
    COLLIE_CHECK(specs_[source].trainable == spec.trainable, "tied {} differs", spec.name);
    offsets_[static_cast<std::size_t>(index)] = ends_[static_cast<std::size_t>(index)] =
        offsets_[source];
  }
  divide_into_shares();
  takes_turns_ = std::ranges::any_of(
      specs_, [](const ParameterSpec& spec) { return spec.trainable && spec.turn >= 0; });
  for (int index = 0; index < count(); ++index) {
    const bool keeps =
        !alias_gradient_in_place() && (!sharding_.shares_gradients() || is_in_own_share(index));
    if (!is_alias(index) || !is_trainable(index) || !stores.with_gradients || !keeps) continue;
    const ParameterSpec& spec = specs_[static_cast<std::size_t>(index)];
    alias_gradient_ = allocate_zeros(allocator, DType::f32, {spec.local_count()});
  }
  allocate_stores(allocator, stores, end);
  begin_step();
}

void Parameters::allocate_stores(Allocator& allocator, ParameterStores stores,
                                 std::int64_t elements) {
  if (sharding_.shares_values()) {
    const StoreRange frozen = frozen_shares_[static_cast<std::size_t>(sharding_.replica)];
    const std::int64_t trained = own_share().end - own_share().begin;
    values_begin_ = own_share().begin;
    frozen_shift_ = frozen.begin - trained;
    elements = trained + frozen.end - frozen.begin;
  }
  const std::int64_t trained =
      sharding_.shares_values() ? own_share().end - own_share().begin : trainable_elements_;
  const bool has_copy = stores.master_weights && compute_dtype_ != DType::f32;
  computes_ = allocate_zeros(allocator, compute_dtype_, {elements});
  values_ = has_copy ? allocate_zeros(allocator, DType::f32, {trained}) : computes_;
  read_ = computes_;
  const std::int64_t gradient_elements = lay_out_gradients();
  if (stores.with_gradients) {
    gradients_ = allocate_zeros(allocator, DType::f32, {gradient_elements});
  }
}

// Those with room of their own in the order of the values, behind them the turns, which all begin
// at the same place. Without turns that is the layout of the values.
std::int64_t Parameters::lay_out_gradients() {
  gradient_offsets_ = offsets_;
  standing_elements_ = trainable_elements_;
  COLLIE_CHECK(!takes_turns_ || !sharding_.shares_state(), "gradients in turn are not shared");
  if (sharding_.shares_gradients()) {
    gradients_begin_ = own_share().begin;
    return own_share().end - own_share().begin;
  }
  if (!takes_turns_) return trainable_elements_;
  std::int64_t standing = 0;
  std::map<int, std::int64_t> ends;
  const auto place = [this](std::size_t first, std::size_t next, std::int64_t& end) {
    for (std::size_t index = first; index < next; ++index) {
      gradient_offsets_[index] = end;
      end += specs_[index].local_count();
    }
    end = padded(end);
  };
  for_each_group([&](std::size_t first, std::size_t next) {
    const int turn = specs_[first].turn;
    if (!specs_[first].trainable || alias_of_[first] >= 0) return;
    place(first, next, turn < 0 ? standing : ends[turn]);
  });
  standing_elements_ = standing;
  std::int64_t room = 0;
  for (const auto& [turn, end] : ends) room = std::max(room, end);
  for (int index = 0; index < count(); ++index) {
    if (is_in_turn(index)) gradient_offsets_[static_cast<std::size_t>(index)] += standing;
  }
  return standing + room;
}

// Calls visit(first, next) for each parameter with those that are joined to it.
template <class Visit>
void Parameters::for_each_group(const Visit& visit) const {
  for (std::size_t first = 0, next = 0; first < specs_.size(); first = next) {
    for (next = first + 1; next < specs_.size() && specs_[next].joined;) ++next;
    visit(first, next);
  }
}

// Gives room to the groups of joined parameters of which one is trained, or none is.
std::int64_t Parameters::lay_out(bool trained, std::int64_t end) {
  for_each_group([&](std::size_t first, std::size_t next) {
    const std::span group(specs_.begin() + static_cast<std::ptrdiff_t>(first), next - first);
    const bool is_trained = std::ranges::any_of(group, &ParameterSpec::trainable);
    if (alias_of_[first] >= 0 || is_trained != trained) return;
    for (std::size_t index = first; index < next; ++index) {
      COLLIE_CHECK(specs_[index].local_cols() == specs_[first].local_cols());
      offsets_[index] = end;
      end += specs_[index].local_count();
      ends_[index] = end;
    }
    ends_[next - 1] = end = padded(end);
  });
  return end;
}

int Parameters::find(std::string_view name) const {
  const auto found = std::find_if(specs_.begin(), specs_.end(),
                                  [&](const ParameterSpec& spec) { return spec.name == name; });
  return found == specs_.end() ? -1 : static_cast<int>(found - specs_.begin());
}

std::int64_t Parameters::padded_count(int index) const {
  return ends_[static_cast<std::size_t>(index)] - offset(index);
}

Tensor Parameters::view(const Tensor& store, std::int64_t begin, int index) const {
  const ParameterSpec& spec = specs_[static_cast<std::size_t>(index)];
  return slice_of(store, begin, spec.local_rows(), spec.local_cols(), spec.is_vector);
}

Tensor Parameters::joined_view(const Tensor& store, std::int64_t begin, int first,
                               int count) const {
  const ParameterSpec& head = specs_[static_cast<std::size_t>(first)];
  std::int64_t rows = head.local_rows();
  for (int index = first + 1; index < first + count; ++index) {
    const ParameterSpec& spec = specs_[static_cast<std::size_t>(index)];
    COLLIE_CHECK(spec.joined, "{} is not joined to the parameter before it", spec.name);
    rows += spec.local_rows();
  }
  return slice_of(store, begin, rows, head.local_cols(), head.is_vector);
}

Tensor Parameters::value(int index) const {
  COLLIE_CHECK(holds_value(index), "{} is not here", specs_[static_cast<std::size_t>(index)].name);
  const bool is_trained = offset(index) < trainable_elements_;
  return view(is_trained ? values_ : computes_, value_offset(index), index);
}
Tensor Parameters::compute(int index) const {
  const Place place = compute_place(index);
  return view(place.flat, place.begin, index);
}

Tensor Parameters::gradient(int index) const {
  const Place place = gradient_place(index);
  return view(place.flat, place.begin, index);
}

Tensor Parameters::compute_rows(int first, int count) const {
  const Place place = compute_place(first);
  return joined_view(place.flat, place.begin, first, count);
}
Tensor Parameters::gradient_rows(int first, int count) const {
  const Place place = gradient_place(first);
  return joined_view(place.flat, place.begin, first, count);
}

void Parameters::initialize_one(Stream& stream, std::uint64_t seed, int index) {
  const ParameterSpec& spec = specs_[static_cast<std::size_t>(index)];
  Tensor tensor = value(index);
  kernels::fill_zero(stream, tensor);
  if (spec.initial == Initial::normal) fill_normal(stream, spec, tensor, seed);
  if (spec.initial != Initial::ones) return;
  if (tensor.dtype() == DType::f32) return fill_from_host(stream, tensor, 1.0F);
  Tensor ones = stream.allocate(DType::f32, tensor.shape());
  fill_from_host(stream, ones, 1.0F);
  kernels::cast(stream, ones, tensor);
}

void Parameters::initialize(Stream& stream, std::uint64_t seed) {
  for (int index = 0; index < count(); ++index) {
    if (!is_alias(index) && holds_value(index)) initialize_one(stream, seed, index);
  }
  refresh_compute(stream);
}

void Parameters::initialize_adapters(Stream& stream, std::uint64_t seed) {
  for (int index = 0; index < count(); ++index) {
    const bool is_adapter = specs_[static_cast<std::size_t>(index)].adapter;
    if (is_adapter && holds_value(index)) initialize_one(stream, seed, index);
  }
  refresh_compute(stream);
}

void Parameters::refresh_compute(Stream& stream) {
  if (compute_dtype_ == values_.dtype()) return;
  Tensor trained = computes_.rows(0, values_.element_count());
  kernels::cast(stream, values_, trained);
}

}  // namespace collie
