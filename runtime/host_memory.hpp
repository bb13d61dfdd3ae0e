// How much memory this process may still take: what the machine has free, or less where a control
// group (a container, a batch job) limits it.
#pragma once

#include <cstddef>
#include <string>

namespace collie {

struct HostMemory {
  std::size_t bytes = 0;
  // What the number is: "free on this machine" or "allowed by the control group".
  std::string source;
};

// The smaller of MemAvailable and the limits of this process's control groups and all those above
// them, of version 2 (memory.max) and 1 (memory.limit_in_bytes). What cannot be read limits
// nothing; without MemAvailable all the machine's memory counts as free. root stands before /proc
// and /sys.
// held_bytes: what the caller has taken already of what it will compare with the result, so it is
// no longer free.
HostMemory available_host_memory(std::size_t held_bytes = 0, const std::string& root = "");

}  // namespace collie
