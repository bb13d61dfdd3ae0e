// Text as the reference implementations see it: Python's idea of white space and words. All take
// any bytes; what is not UTF-8 counts as U+FFFD, one for each byte.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace collie::metrics {

std::vector<char32_t> code_points_of(std::string_view text);

// str.isspace(): Unicode White_Space and the four separators U+001C to U+001F.
bool is_python_space(char32_t value);
bool is_number(char32_t value);       // general category N
bool is_punctuation(char32_t value);  // general category P
bool is_symbol(char32_t value);       // general category S
bool is_word(char32_t value);         // \w: category L or N, or '_'

// str.lower() of one code point; U+0130 is two. The final sigma is not told from others.
void append_lower(std::string& out, char32_t value);

// str.split() and str.rstrip().
std::vector<std::string_view> split_words(std::string_view text);
std::string_view without_trailing_space(std::string_view text);

}  // namespace collie::metrics
