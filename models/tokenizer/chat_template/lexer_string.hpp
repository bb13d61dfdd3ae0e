// Literals inside a template's tags.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "runtime/result.hpp"

namespace collie::chat {

// Bytes of the token at the beginning of the text; 0: there is none.
std::size_t string_bytes(std::string_view text);  // with its quotes
std::size_t name_bytes(std::string_view text);
struct NumberBytes {
  std::size_t bytes = 0;
  bool floating = false;
};
NumberBytes number_bytes(std::string_view text);

// Python's escapes replaced. Fails for those that name no character; the message is for a line.
Result<std::string> unescaped(std::string_view text);

}  // namespace collie::chat
