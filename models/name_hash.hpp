// A number for a parameter's name: its part in the counter of random numbers.
#pragma once

#include <cstdint>
#include <string_view>

namespace collie {

// FNV-1a, the same on every platform.
inline std::uint64_t hash_name(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char character : name) {
    hash = (hash ^ static_cast<unsigned char>(character)) * 0x100000001b3U;
  }
  return hash;
}

}  // namespace collie
