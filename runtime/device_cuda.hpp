// What runtime/device.cpp asks of CUDA: device_cuda.cu answers, or no_cuda.cpp in a build without.
#pragma once

#include <string>

namespace collie {

int cuda_device_count();
std::string cuda_describe(int index);

}  // namespace collie
