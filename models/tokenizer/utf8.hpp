// UTF-8 and the few Unicode properties that tokenizers ask for. Functions that take a position
// expect valid UTF-8 and a position at a code point's first byte, unless they say otherwise.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace collie::tok {

inline constexpr std::string_view replacement_character = "\xEF\xBF\xBD";  // U+FFFD

struct CodePoint {
  char32_t value;
  std::size_t bytes;
};

CodePoint code_point_at(std::string_view text, std::size_t position);
CodePoint code_point_before(std::string_view text, std::size_t position);
void append_code_point(std::string& out, char32_t value);

bool is_valid_utf8(std::string_view bytes);

// Appends bytes, each maximal invalid subpart replaced by U+FFFD (Unicode 15, section 3.9, "best
// practice"; what Rust's from_utf8_lossy and Python's errors="replace" do).
void append_with_replacement(std::string& out, std::string_view bytes);

// How many bytes at the end (0 to 3) begin a sequence that further bytes could complete.
std::size_t incomplete_suffix_bytes(std::string_view bytes);

bool is_white_space(char32_t value);  // Unicode White_Space

}  // namespace collie::tok
