// For tests of kernels against references in double: tensors from and to doubles, errors, and
// gradients by central differences.
#pragma once

#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "runtime/stream.hpp"

namespace collie::numeric_check {

using Values = std::vector<double>;

inline StreamOptions inline_stream(int threads) {
  StreamOptions options;
  options.threads = threads;
  options.inline_execution = true;
  return options;
}

inline Values random_values(std::int64_t count, unsigned seed, double scale = 1.0) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal(0.0, scale);
  Values values(static_cast<std::size_t>(count));
  for (double& value : values) value = normal(generator);
  return values;
}

inline Tensor tensor_of(Stream& stream, DType dtype, const Shape& shape, const Values& values) {
  Tensor tensor = stream.allocate(dtype, shape);
  COLLIE_CHECK(values.size() == static_cast<std::size_t>(shape.element_count()), "{} values",
               values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto value = static_cast<float>(values[i]);
    if (dtype == DType::f32) {
      tensor.mutable_data<float>()[i] = value;
    } else {
      tensor.mutable_data<BFloat16>()[i] = BFloat16(value);
    }
  }
  return tensor;
}

inline Tensor ids_of(Stream& stream, const std::vector<std::int32_t>& ids) {
  Tensor tensor = stream.allocate(DType::i32, {static_cast<std::int64_t>(ids.size())});
  std::memcpy(tensor.mutable_raw(), ids.data(), ids.size() * sizeof(std::int32_t));
  return tensor;
}

// Filled with a NaN pattern, so that an element the kernel forgets is seen.
inline Tensor unwritten(Stream& stream, DType dtype, const Shape& shape) {
  Tensor tensor = stream.allocate(dtype, shape);
  std::memset(tensor.mutable_raw(), 0xff, tensor.size_bytes());
  return tensor;
}

inline Values values_of(const Tensor& tensor) {
  Values values(static_cast<std::size_t>(tensor.element_count()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<double>(tensor.dtype() == DType::f32
                                        ? tensor.data<float>()[i]
                                        : static_cast<float>(tensor.data<BFloat16>()[i]));
  }
  return values;
}

// What a tensor of this dtype can hold of the values.
inline Values rounded(DType dtype, Values values) {
  for (double& value : values) {
    const auto single = static_cast<float>(value);
    value =
        static_cast<double>(dtype == DType::f32 ? single : static_cast<float>(BFloat16(single)));
  }
  return values;
}

// Norm of the difference over the norm of what is wanted; a NaN anywhere is an infinite error.
inline double relative_error(const Values& got, const Values& want) {
  if (got.size() != want.size()) return INFINITY;
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    difference += (got[i] - want[i]) * (got[i] - want[i]);
    norm += want[i] * want[i];
  }
  const double error = std::sqrt(difference / (norm > 0 ? norm : 1.0));
  return std::isnan(error) ? INFINITY : error;
}

// At most `count` positions spread over [0, size).
inline std::vector<std::size_t> sample(std::size_t size, std::size_t count) {
  std::vector<std::size_t> indices;
  const std::size_t step = size <= count ? 1 : size / count;
  for (std::size_t i = 0; i < size; i += step) indices.push_back(i);
  return indices;
}

inline Values pick(const Values& values, const std::vector<std::size_t>& indices) {
  Values picked;
  for (const std::size_t index : indices) picked.push_back(values[index]);
  return picked;
}

// d <weights, f(x)> / d x[i] for the given i.
inline Values numeric_gradient(const std::function<Values(const Values&)>& f, Values x,
                               const Values& weights, const std::vector<std::size_t>& indices) {
  constexpr double step = 1e-4;
  const auto loss = [&] {
    const Values y = f(x);
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += weights[i] * y[i];
    return sum;
  };
  Values gradient;
  for (const std::size_t index : indices) {
    const double before = x[index];
    x[index] = before + step;
    const double above = loss();
    x[index] = before - step;
    gradient.push_back((above - loss()) / (2 * step));
    x[index] = before;
  }
  return gradient;
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.raw(), b.raw(), a.size_bytes()) == 0;
}

}  // namespace collie::numeric_check
