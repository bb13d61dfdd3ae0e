// What the views that write files append to.
#pragma once

#include <fmt/format.h>

#include <iterator>
#include <utility>

namespace collie {

using Text = fmt::memory_buffer;

template <class... Args>
void append_to(Text& text, fmt::format_string<Args...> format, Args&&... args) {
  fmt::format_to(std::back_inserter(text), format, std::forward<Args>(args)...);
}

}  // namespace collie
