#include "runtime/monitor_host.hpp"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

#include "runtime/suggest.hpp"

namespace collie {

namespace {

constexpr std::uint64_t sector_bytes = 512;  // of /proc/diskstats, whatever the device's own are

struct Device {
  std::string name;
  std::uint64_t in_bytes = 0;
  std::uint64_t out_bytes = 0;
};

// "  eth0: <received bytes> and 7 more, <sent bytes> ...", below two lines of headings.
std::vector<Device> network_devices(const std::string& root) {
  std::vector<Device> devices;
  std::ifstream file(root + "/proc/net/dev");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.rfind(':');  // an alias's name may hold one
    if (colon == std::string::npos) continue;
    Device device;
    std::istringstream(line.substr(0, colon)) >> device.name;
    std::istringstream numbers(line.substr(colon + 1));
    std::uint64_t other = 0;
    numbers >> device.in_bytes;
    for (int i = 0; i < 7; ++i) numbers >> other;
    if (numbers >> device.out_bytes) devices.push_back(std::move(device));
  }
  return devices;
}

// "8 0 sda <reads> <merged> <sectors read> <ms> <writes> <merged> <sectors written> ..."
std::vector<Device> disks(const std::string& root) {
  std::vector<Device> devices;
  std::ifstream file(root + "/proc/diskstats");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    Device device;
    std::uint64_t other = 0;
    words >> other >> other >> device.name >> other >> other >> device.in_bytes;
    words >> other >> other >> other;
    if (!(words >> device.out_bytes)) continue;
    device.in_bytes *= sector_bytes;
    device.out_bytes *= sector_bytes;
    devices.push_back(std::move(device));
  }
  return devices;
}

// read_bytes and write_bytes are what went to and from the device, not the page cache.
std::optional<Device> own_transfers(const std::string& root) {
  Device device;
  int found = 0;
  std::ifstream file(root + "/proc/self/io");
  std::uint64_t value = 0;
  for (std::string key; file >> key >> value;) {
    if (key == "read_bytes:") device.in_bytes = value;
    if (key == "write_bytes:") device.out_bytes = value;
    found += key == "read_bytes:" || key == "write_bytes:" ? 1 : 0;
  }
  return found == 2 ? std::optional(device) : std::nullopt;
}

std::optional<std::uint64_t> resident_bytes(const std::string& root) {
  std::ifstream file(root + "/proc/self/statm");
  std::uint64_t size_pages = 0;
  std::uint64_t resident_pages = 0;
  if (!(file >> size_pages >> resident_pages)) return std::nullopt;
  return resident_pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

const Device* find_device(const std::vector<Device>& devices, const std::string& name) {
  const auto found = std::find_if(devices.begin(), devices.end(),
                                  [&](const Device& device) { return device.name == name; });
  return found == devices.end() ? nullptr : &*found;
}

Status require_device(std::string_view key, std::string_view kind, const std::string& name,
                      const std::vector<Device>& devices) {
  if (name.empty() || find_device(devices, name) != nullptr) return ok_status();
  std::vector<std::string> known;
  for (const Device& device : devices) known.push_back(device.name);
  return make_error(ErrorCode::invalid_config, "{}: this machine has no {} {}, {}{}{}", key, kind,
                    quoted_name(name), known.empty() ? "and tells of none" : "only ",
                    fmt::join(known, ", "), did_you_mean(name, known));
}

std::uint64_t growth(std::uint64_t before, std::uint64_t now) {
  return now >= before ? now - before : now;
}

}  // namespace

Result<HostMonitor> HostMonitor::open(HostMonitorOptions options) {
  COLLIE_TRY_VOID(require_device("output.network_interface", "network interface",
                                 options.network_interface, network_devices(options.root)));
  COLLIE_TRY_VOID(require_device("output.disk", "disk", options.disk, disks(options.root)));
  HostMonitor monitor(std::move(options));
  monitor.network_before_ = monitor.network();
  monitor.disk_before_ = monitor.disk();
  return monitor;
}

std::optional<HostMonitor::Traffic> HostMonitor::network() const {
  const std::vector<Device> devices = network_devices(options_.root);
  if (devices.empty()) return std::nullopt;
  Traffic sum;
  for (const Device& device : devices) {
    const bool counts = options_.network_interface.empty()
                            ? device.name != "lo"
                            : device.name == options_.network_interface;
    if (!counts) continue;
    sum.in_bytes += device.in_bytes;
    sum.out_bytes += device.out_bytes;
  }
  return sum;
}

std::optional<HostMonitor::Traffic> HostMonitor::disk() const {
  if (options_.disk.empty()) {
    const std::optional<Device> own = own_transfers(options_.root);
    return own ? std::optional(Traffic{own->in_bytes, own->out_bytes}) : std::nullopt;
  }
  const std::vector<Device> devices = disks(options_.root);
  const Device* device = find_device(devices, options_.disk);
  return device != nullptr ? std::optional(Traffic{device->in_bytes, device->out_bytes})
                           : std::nullopt;
}

HostUse HostMonitor::sample() {
  HostUse use;
  const std::optional<Traffic> network_now = network();
  if (network_now && network_before_) {
    use.network_received_bytes = growth(network_before_->in_bytes, network_now->in_bytes);
    use.network_sent_bytes = growth(network_before_->out_bytes, network_now->out_bytes);
  }
  const std::optional<Traffic> disk_now = disk();
  if (disk_now && disk_before_) {
    use.disk_read_bytes = growth(disk_before_->in_bytes, disk_now->in_bytes);
    use.disk_written_bytes = growth(disk_before_->out_bytes, disk_now->out_bytes);
  }
  network_before_ = network_now;
  disk_before_ = disk_now;
  use.resident_bytes = resident_bytes(options_.root);
  return use;
}

}  // namespace collie
