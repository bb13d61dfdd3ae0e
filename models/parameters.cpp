#include "models/parameters.hpp"

#include <algorithm>
#include <utility>

#include "kernels/elementwise.hpp"
#include "models/host_copy.hpp"

namespace collie {

namespace {

constexpr std::int64_t alignment_elements = 16;

std::int64_t padded(std::int64_t count) {
  return (count + alignment_elements - 1) / alignment_elements * alignment_elements;
}

// FNV-1a: the name's part in the counter of the random numbers, the same on every platform.
std::uint64_t hash_name(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char character : name) {
    hash = (hash ^ static_cast<unsigned char>(character)) * 0x100000001b3U;
  }
  return hash;
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
    : specs_(std::move(specs)), compute_dtype_(compute_dtype) {
  COLLIE_CHECK(compute_dtype == DType::f32 || compute_dtype == DType::bf16);
  std::int64_t end = 0;
  for (std::size_t index = 0; index < specs_.size(); ++index) {
    const ParameterSpec& spec = specs_[index];
    const int twin = spec.tied_to.empty() ? -1 : find(spec.tied_to);
    alias_of_.push_back(twin);
    if (twin >= 0) {
      const auto source = static_cast<std::size_t>(twin);
      COLLIE_CHECK(specs_[source].local_count() == spec.local_count(), "tied {} differs",
                   spec.name);
      offsets_.push_back(offsets_[source]);
      ends_.push_back(offsets_[source]);
      if (with_gradients) {
        alias_gradient_ = allocate_zeros(allocator, DType::f32, {spec.local_count()});
      }
      continue;
    }
    if (spec.joined) {
      COLLIE_CHECK(index > 0 && specs_[index - 1].local_cols() == spec.local_cols());
      end = ends_.back() = offsets_.back() + specs_[index - 1].local_count();
    }
    offsets_.push_back(end);
    end = padded(end + spec.local_count());
    ends_.push_back(end);
  }
  values_ = allocate_zeros(allocator, DType::f32, {end});
  const bool is_f32 = compute_dtype == DType::f32;
  computes_ = is_f32 ? values_ : allocate_zeros(allocator, compute_dtype, {end});
  read_ = computes_;
  if (with_gradients) gradients_ = allocate_zeros(allocator, DType::f32, {end});
}

int Parameters::find(std::string_view name) const {
  const auto found = std::find_if(specs_.begin(), specs_.end(),
                                  [&](const ParameterSpec& spec) { return spec.name == name; });
  return found == specs_.end() ? -1 : static_cast<int>(found - specs_.begin());
}

std::int64_t Parameters::padded_count(int index) const {
  return ends_[static_cast<std::size_t>(index)] - offset(index);
}

Tensor Parameters::view(const Tensor& store, int index) const {
  const ParameterSpec& spec = specs_[static_cast<std::size_t>(index)];
  return slice_of(store, offset(index), spec.local_rows(), spec.local_cols(), spec.is_vector);
}

Tensor Parameters::joined_view(const Tensor& store, int first, int count) const {
  const ParameterSpec& head = specs_[static_cast<std::size_t>(first)];
  std::int64_t rows = head.local_rows();
  for (int index = first + 1; index < first + count; ++index) {
    const ParameterSpec& spec = specs_[static_cast<std::size_t>(index)];
    COLLIE_CHECK(spec.joined, "{} is not joined to the parameter before it", spec.name);
    rows += spec.local_rows();
  }
  return slice_of(store, offset(first), rows, head.local_cols(), head.is_vector);
}

Tensor Parameters::value(int index) const {
  return view(values_, index);
}
Tensor Parameters::compute(int index) const {
  return view(read_, index);
}

Tensor Parameters::gradient(int index) const {
  COLLIE_CHECK(gradients_.defined(), "these parameters have no gradients");
  if (!is_alias(index)) return view(gradients_, index);
  const ParameterSpec& spec = specs_[static_cast<std::size_t>(index)];
  return alias_gradient_.reshaped({spec.local_rows(), spec.local_cols()});
}

Tensor Parameters::compute_rows(int first, int count) const {
  return joined_view(read_, first, count);
}
Tensor Parameters::gradient_rows(int first, int count) const {
  return joined_view(gradients_, first, count);
}

void Parameters::initialize(Stream& stream, std::uint64_t seed) {
  for (int index = 0; index < count(); ++index) {
    const ParameterSpec& spec = specs_[static_cast<std::size_t>(index)];
    if (is_alias(index)) continue;
    Tensor tensor = value(index);
    kernels::fill_zero(stream, tensor);
    if (spec.initial == Initial::normal) fill_normal(stream, spec, tensor, seed);
    if (spec.initial == Initial::ones) fill_from_host(stream, tensor, 1.0F);
  }
  refresh_compute(stream);
}

void Parameters::refresh_compute(Stream& stream) {
  if (compute_dtype_ != DType::f32) kernels::cast(stream, values_, computes_);
}

}  // namespace collie
