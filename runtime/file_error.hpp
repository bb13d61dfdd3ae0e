// How the file*.cpp files turn errno into an Error. Nothing else includes this.
#pragma once

#include <string_view>

#include "runtime/result.hpp"

namespace collie {

// "<path>: cannot <action>: <reason>; <remedy>"
Error file_error(std::string_view path, std::string_view action, int error_number);

// Flushes to the device what was written under the path (a file or a directory).
Status sync_path(const std::string& path);

// Writes all bytes at the current end (append) or at an offset, however the kernel cuts them.
Status write_fully(int descriptor, std::string_view path, const std::byte* data,
                   std::size_t size_bytes, std::int64_t offset_bytes);
inline constexpr std::int64_t at_the_end = -1;

}  // namespace collie
