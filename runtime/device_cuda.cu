#include <cuda_runtime_api.h>

#include "runtime/device_cuda.hpp"

namespace collie {

int cuda_device_count() {
  int count = 0;
  // No driver and no device are the same answer here: none that can be used.
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

std::string cuda_describe(int index) {
  const std::string name = "cuda:" + std::to_string(index);
  cudaDeviceProp properties;
  if (cudaGetDeviceProperties(&properties, index) != cudaSuccess) return name + " (not available)";
  return name + " (" + properties.name + ", compute capability " +
         std::to_string(properties.major) + "." + std::to_string(properties.minor) + ", " +
         std::to_string(properties.totalGlobalMem >> 20) + " MiB)";
}

}  // namespace collie
