#include "models/host_copy.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace collie {

void copy_from_host(Stream&, const void* host, Tensor& tensor) {
  if (tensor.element_count() > 0) std::memcpy(tensor.mutable_raw(), host, tensor.size_bytes());
}

void copy_to_host(Stream&, const Tensor& tensor, void* host) {
  if (tensor.element_count() > 0) std::memcpy(host, tensor.raw(), tensor.size_bytes());
}

void fill_from_host(Stream&, Tensor& tensor, float value) {
  std::fill_n(tensor.mutable_data<float>(), tensor.element_count(), value);
}

double sum_on_host(Stream&, const Tensor& tensor) {
  const float* values = tensor.data<float>();
  return std::accumulate(values, values + tensor.element_count(), 0.0);
}

Tensor allocate_zeros(Allocator& allocator, DType dtype, const Shape& shape) {
  Tensor tensor = allocate_tensor(allocator, dtype, shape);
  std::memset(tensor.mutable_raw(), 0, tensor.size_bytes());
  return tensor;
}

}  // namespace collie
