// The header of a safetensors file, checked against every rule of the format. For safetensors.cpp.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "runtime/safetensors.hpp"

namespace collie {

struct SafetensorsHeader {
  std::vector<TensorEntry> entries;  // in the order of their bytes, without gaps
  SafetensorsMetadata metadata;
  std::size_t data_bytes = 0;
};

// bytes is the whole file; path stands for it in messages.
Result<SafetensorsHeader> parse_safetensors_header(std::span<const std::byte> bytes,
                                                   std::string_view path);

}  // namespace collie
