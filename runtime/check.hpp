// A programmer's error stops the process with file and line; it is never caught and never returned.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace collie {

[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               std::string_view message);

}  // namespace collie

// Always on: the checks guard invariants, not inputs, and cost nothing next to a kernel.
#define COLLIE_CHECK(condition, ...)                                                         \
  do {                                                                                       \
    if (!(condition)) [[unlikely]]                                                           \
      ::collie::check_failed(__FILE__, __LINE__, #condition, ::fmt::format("" __VA_ARGS__)); \
  } while (false)
