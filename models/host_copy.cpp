#include "models/host_copy.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace collie {

namespace {

// Planning has sizes only: nothing is behind its tensors.
bool has_memory(const Stream& stream) {
  return stream.device().kind != DeviceKind::meta;
}

}  // namespace

void copy_from_host(Stream& stream, const void* host, Tensor& tensor) {
  if (has_memory(stream) && tensor.element_count() > 0)
    std::memcpy(tensor.mutable_raw(), host, tensor.size_bytes());
}

void copy_to_host(Stream& stream, const Tensor& tensor, void* host) {
  if (has_memory(stream) && tensor.element_count() > 0)
    std::memcpy(host, tensor.raw(), tensor.size_bytes());
}

void fill_from_host(Stream& stream, Tensor& tensor, float value) {
  if (!has_memory(stream)) return;
  std::fill_n(tensor.mutable_data<float>(), tensor.element_count(), value);
}

double sum_on_host(Stream& stream, const Tensor& tensor) {
  if (!has_memory(stream)) return 0.0;
  const float* values = tensor.data<float>();
  return std::accumulate(values, values + tensor.element_count(), 0.0);
}

void scale_rows_on_host(Stream& stream, Tensor& x, const Tensor& factors_r) {
  if (!has_memory(stream)) return;
  const std::int64_t rows = factors_r.element_count(), cols = x.element_count() / rows;
  auto* values = x.mutable_data<float>();
  for (std::int64_t row = 0; row < rows; ++row) {
    const float factor = factors_r.data<float>()[row];
    for (std::int64_t col = 0; col < cols; ++col) values[row * cols + col] *= factor;
  }
}

void join_columns(Stream& stream, std::span<const Tensor> parts, Tensor& whole) {
  if (!has_memory(stream)) return;
  const std::int64_t width = whole.dim(1);
  std::int64_t column = 0;
  for (const Tensor& part : parts) {
    const std::int64_t columns = part.dim(1);
    COLLIE_CHECK(part.dim(0) == whole.dim(0) && column + columns <= width, "columns {} to {} of {}",
                 column, column + columns, width);
    for (std::int64_t row = 0; row < whole.dim(0); ++row) {
      std::copy_n(part.data<float>() + row * columns, columns,
                  whole.mutable_data<float>() + row * width + column);
    }
    column += columns;
  }
  COLLIE_CHECK(column == width, "{} columns joined to {}", column, width);
}

Tensor allocate_zeros(Allocator& allocator, DType dtype, const Shape& shape) {
  Tensor tensor = allocate_tensor(allocator, dtype, shape);
  if (allocator.backed()) std::memset(tensor.mutable_raw(), 0, tensor.size_bytes());
  return tensor;
}

}  // namespace collie
