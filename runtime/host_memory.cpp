#include "runtime/host_memory.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <string_view>

namespace collie {

namespace {

// Also "max" and the like are no number: no limit.
std::optional<std::size_t> number_in(std::string_view text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

std::optional<std::size_t> free_bytes(const std::string& root) {
  constexpr std::string_view key = "MemAvailable:";
  std::ifstream meminfo(root + "/proc/meminfo");
  for (std::string line; std::getline(meminfo, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t digits = line.find_first_not_of(' ', key.size());
    if (digits == std::string::npos) return std::nullopt;
    const auto kib = number_in(std::string_view(line).substr(digits));
    return kib ? std::optional(*kib * 1024) : std::nullopt;
  }
  return std::nullopt;
}

std::size_t machine_bytes() {
  return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) *
         static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

// The least limit of a group and of all above it. In a container the path may be the one outside;
// then only the root of the mount is there, which is the container's own group.
std::size_t limit_above(const std::string& mount, std::string group, const char* file_name) {
  std::size_t least = SIZE_MAX;
  while (true) {
    std::ifstream file(mount + group + "/" + file_name);
    std::string line;
    if (std::getline(file, line)) least = std::min(least, number_in(line).value_or(SIZE_MAX));
    const std::size_t slash = group.rfind('/');
    if (slash == std::string::npos) return least;
    group.resize(slash);
  }
}

bool names_memory(std::string_view controllers) {
  while (!controllers.empty()) {
    const std::size_t comma = std::min(controllers.find(','), controllers.size());
    if (controllers.substr(0, comma) == "memory") return true;
    controllers.remove_prefix(std::min(comma + 1, controllers.size()));
  }
  return false;
}

// Lines are "0::/path" for version 2 and "4:cpu,memory:/path" for version 1.
std::size_t group_limit_bytes(const std::string& root) {
  const std::string mount = root + "/sys/fs/cgroup";
  std::size_t least = SIZE_MAX;
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string_view controllers(line.data() + first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      least = std::min(least, limit_above(mount, path, "memory.max"));
      least = std::min(least, limit_above(mount + "/unified", path, "memory.max"));
    } else if (names_memory(controllers)) {
      least = std::min(least, limit_above(mount + "/memory", path, "memory.limit_in_bytes"));
    }
  }
  return least;
}

}  // namespace

HostMemory available_host_memory(std::size_t held_bytes, const std::string& root) {
  const std::size_t free = free_bytes(root).value_or(machine_bytes()) + held_bytes;
  const std::size_t limit = group_limit_bytes(root);
  if (limit < free) return {limit, "allowed by the control group"};
  return {free, "free on this machine"};
}

}  // namespace collie
