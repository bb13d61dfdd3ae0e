#include "models/tokenizer/byte_alphabet.hpp"

#include "models/tokenizer/utf8.hpp"

namespace collie::tok {
namespace {

constexpr std::size_t character_limit = 0x100 + 68;

struct Alphabet {
  std::array<char32_t, 256> characters{};
  std::array<std::int16_t, character_limit> bytes{};

  constexpr Alphabet() {
    for (auto& byte : bytes) byte = -1;
    char32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const bool visible = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
      characters[byte] = visible ? static_cast<char32_t>(byte) : next++;
      bytes[characters[byte]] = static_cast<std::int16_t>(byte);
    }
  }
};

constexpr Alphabet alphabet;

}  // namespace

char32_t byte_to_character(std::uint8_t byte) {
  return alphabet.characters[byte];
}

std::optional<std::uint8_t> character_to_byte(char32_t character) {
  if (character >= character_limit || alphabet.bytes[character] < 0) return std::nullopt;
  return static_cast<std::uint8_t>(alphabet.bytes[character]);
}

void append_as_alphabet(std::string& out, std::string_view bytes) {
  for (const char byte : bytes) {
    append_code_point(out, alphabet.characters[static_cast<std::uint8_t>(byte)]);
  }
}

bool append_as_bytes(std::string& out, std::string_view characters) {
  const std::size_t size_before = out.size();
  for (std::size_t position = 0; position < characters.size();) {
    const CodePoint point = code_point_at(characters, position);
    const auto byte = character_to_byte(point.value);
    if (!byte) {
      out.resize(size_before);
      return false;
    }
    out.push_back(static_cast<char>(*byte));
    position += point.bytes;
  }
  return true;
}

}  // namespace collie::tok
