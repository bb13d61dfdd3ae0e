// What this machine does beside the arithmetic: network and disk traffic, memory of the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "runtime/result.hpp"

namespace collie {

// Nothing where the system does not tell, as in many a sandbox.
struct HostUse {
  // Since the sample before, or since open().
  std::optional<std::uint64_t> network_received_bytes;
  std::optional<std::uint64_t> network_sent_bytes;
  std::optional<std::uint64_t> disk_read_bytes;
  std::optional<std::uint64_t> disk_written_bytes;
  std::optional<std::uint64_t> resident_bytes;  // now
};

struct HostMonitorOptions {
  std::string network_interface;  // empty: all but the loopback, lo
  std::string disk;               // a name of /proc/diskstats; empty: what this process does itself
  std::string root;               // stands before /proc
};

class HostMonitor {
 public:
  // invalid_config for an interface or disk that is not there, with those that are.
  static Result<HostMonitor> open(HostMonitorOptions options);

  // Reads /proc/net/dev, /proc/diskstats or /proc/self/io, and /proc/self/statm. A counter that has
  // gone back (an interface that was set up anew) counts from zero.
  HostUse sample();

 private:
  struct Traffic {
    std::uint64_t in_bytes = 0;
    std::uint64_t out_bytes = 0;
  };
  explicit HostMonitor(HostMonitorOptions options) : options_(std::move(options)) {}
  std::optional<Traffic> network() const;
  std::optional<Traffic> disk() const;

  HostMonitorOptions options_;
  std::optional<Traffic> network_before_;
  std::optional<Traffic> disk_before_;
};

}  // namespace collie
