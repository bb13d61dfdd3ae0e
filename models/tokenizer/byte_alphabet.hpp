// GPT-2's printable alphabet for bytes (openai/gpt-2, bytes_to_unicode): a byte that is a visible
// Latin-1 character stands for itself, the 68 others are U+0100, U+0101, ... in byte order.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace collie::tok {

char32_t byte_to_character(std::uint8_t byte);
std::optional<std::uint8_t> character_to_byte(char32_t character);

// Raw bytes -> the alphabet's characters as UTF-8.
void append_as_alphabet(std::string& out, std::string_view bytes);

// The reverse; false (and out untouched) where a character is not of the alphabet.
bool append_as_bytes(std::string& out, std::string_view characters);

}  // namespace collie::tok
