// Python's str over UTF-8: lengths and places count code points. All texts are valid UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace collie::chat {

bool is_space(char32_t value);  // str.isspace()
// Bytes of white space at the beginning and at the end.
std::size_t leading_space(std::string_view text);
std::size_t trailing_space(std::string_view text);

std::size_t length_of(std::string_view text);
// The byte where the code point of this index begins; the end for indices beyond.
std::size_t byte_of(std::string_view text, std::size_t index);
std::vector<std::string_view> code_points(std::string_view text);

enum class Sides { left, right, both };
// Without these code points at its ends; nullopt: without white space.
std::string_view strip(std::string_view text, std::optional<std::string_view> set, Sides sides);

std::vector<std::string_view> split(std::string_view text, std::optional<std::string_view> by,
                                    std::int64_t most);
std::vector<std::string_view> split_from_right(std::string_view text,
                                               std::optional<std::string_view> by,
                                               std::int64_t most);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

// How often old stands in text, without overlap; an empty one stands between all code points.
std::size_t count_of(std::string_view text, std::string_view old);
std::string replace(std::string_view text, std::string_view old, std::string_view by,
                    std::int64_t most);

std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string capitalize(std::string_view text);
std::string title(std::string_view text);

// Python's is...() questions: at least one code point and all of them so.
bool all_code_points(std::string_view text, bool (*wanted)(char32_t));
bool is_letter(char32_t value);
bool is_digit(char32_t value);
bool is_cased(std::string_view text, bool upper);  // str.isupper(), str.islower()
bool is_printable(char32_t value);

}  // namespace collie::chat
