// What the tests of kernels share: tensors from doubles and back, seeded values, streams.
#pragma once

#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "runtime/stream.hpp"

namespace collie::testing {

using Values = std::vector<double>;

inline StreamOptions stream_options(int threads, bool inline_execution = false) {
  return {.device = {}, .name = "test", .threads = threads, .inline_execution = inline_execution};
}

// Rounds the values to the dtype; what the tensor then holds is to_values(tensor).
inline Tensor make_tensor(Stream& stream, DType dtype, const Shape& shape, const Values& values) {
  COLLIE_CHECK(static_cast<std::int64_t>(values.size()) == shape.element_count(), "{} values",
               values.size());
  Tensor tensor = stream.allocate(dtype, shape);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::f32) {
      tensor.mutable_data<float>()[i] = static_cast<float>(values[i]);
    } else if (dtype == DType::i32) {
      tensor.mutable_data<std::int32_t>()[i] = static_cast<std::int32_t>(values[i]);
    } else {
      tensor.mutable_data<BFloat16>()[i] = BFloat16(static_cast<float>(values[i]));
    }
  }
  return tensor;
}

inline Values to_values(const Tensor& tensor) {
  Values values(static_cast<std::size_t>(tensor.element_count()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (tensor.dtype() == DType::f32) {
      values[i] = double{tensor.data<float>()[i]};
    } else {
      values[i] = double{static_cast<float>(tensor.data<BFloat16>()[i])};
    }
  }
  return values;
}

inline Values random_values(std::int64_t count, unsigned seed, double scale = 1.0) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal(0.0, scale);
  Values values(static_cast<std::size_t>(count));
  for (double& value : values) value = normal(generator);
  return values;
}

inline Tensor random_tensor(Stream& stream, DType dtype, const Shape& shape, unsigned seed,
                            double scale = 1.0) {
  return make_tensor(stream, dtype, shape, random_values(shape.element_count(), seed, scale));
}

inline bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.size_bytes() == b.size_bytes() && std::memcmp(a.raw(), b.raw(), a.size_bytes()) == 0;
}

// Runs the function as submitted work of a new stream with that many threads.
inline void on_stream(int threads, const std::function<void(Stream&)>& function) {
  Stream stream(stream_options(threads));
  stream.submit([&] { function(stream); });
  stream.synchronize();
}

}  // namespace collie::testing
