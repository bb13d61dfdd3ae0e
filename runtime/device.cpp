#include "runtime/device.hpp"

#include <fmt/format.h>

#include <fstream>

#include "runtime/check.hpp"
#include "runtime/device_cuda.hpp"
#include "runtime/thread_pool.hpp"

namespace collie {

namespace {

std::string cpu_model() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (!line.starts_with("model name")) continue;
    const auto colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown model";
}

}  // namespace

int device_count(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::cpu:
    case DeviceKind::meta:
      return 1;
    case DeviceKind::cuda:
      return cuda_device_count();
  }
  return 0;
}

std::string describe(Device device) {
  if (device.kind == DeviceKind::meta) return "meta";
  if (device.kind == DeviceKind::cuda) return cuda_describe(device.index);
  return fmt::format("cpu ({}, {} cores)", cpu_model(), usable_core_count());
}

}  // namespace collie
