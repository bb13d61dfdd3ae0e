// Which device a stream belongs to.
#pragma once

#include <string>

namespace collie {

// meta: no arithmetic and no memory behind the addresses, only the sizes; what planning runs on.
enum class DeviceKind { cpu, cuda, meta };

struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;
  bool operator==(const Device&) const = default;
};

// Devices of the kind that this build and this machine can use; at least one for cpu.
int device_count(DeviceKind kind);
std::string describe(Device device);

}  // namespace collie
