// Stands in for device_cuda.cu in a build without CUDA.
#include "runtime/device_cuda.hpp"

namespace collie {

int cuda_device_count() {
  return 0;
}

std::string cuda_describe(int index) {
  return "cuda:" + std::to_string(index) + " (this build has no CUDA)";
}

}  // namespace collie
