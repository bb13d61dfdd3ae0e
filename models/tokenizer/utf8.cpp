#include "models/tokenizer/utf8.hpp"

#include <simdjson.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstdint>

namespace collie::tok {
namespace {

std::uint8_t byte_at(std::string_view text, std::size_t position) {
  return static_cast<std::uint8_t>(text[position]);
}

struct Subpart {
  std::size_t bytes;   // of the longest prefix of a well-formed sequence, at least 1
  std::size_t wanted;  // bytes of the whole sequence; 0 when the first byte begins none
};

// Unicode 15, table 3-7: the second byte of a few lead bytes has a narrower range.
Subpart subpart_at(std::string_view text, std::size_t position) {
  const std::uint8_t lead = byte_at(text, position);
  if (lead < 0x80) return {1, 1};
  if (lead < 0xC2 || lead > 0xF4) return {1, 0};
  const std::size_t wanted = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  std::size_t bytes = 1;
  while (bytes < wanted && position + bytes < text.size()) {
    std::uint8_t low = 0x80;
    std::uint8_t high = 0xBF;
    if (bytes == 1) {
      if (lead == 0xE0) low = 0xA0;
      if (lead == 0xED) high = 0x9F;
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;
    }
    const std::uint8_t next = byte_at(text, position + bytes);
    if (next < low || next > high) break;
    ++bytes;
  }
  return {bytes, wanted};
}

}  // namespace

CodePoint code_point_at(std::string_view text, std::size_t position) {
  const std::uint8_t lead = byte_at(text, position);
  if (lead < 0x80) return {lead, 1};
  const auto tail = [&](std::size_t k) -> char32_t { return byte_at(text, position + k) & 0x3Fu; };
  if (lead < 0xE0) return {((lead & 0x1Fu) << 6) | tail(1), 2};
  if (lead < 0xF0) return {((lead & 0x0Fu) << 12) | (tail(1) << 6) | tail(2), 3};
  return {((lead & 0x07u) << 18) | (tail(1) << 12) | (tail(2) << 6) | tail(3), 4};
}

CodePoint code_point_before(std::string_view text, std::size_t position) {
  std::size_t begin = position - 1;
  while (begin > 0 && (byte_at(text, begin) & 0xC0u) == 0x80u) --begin;
  return code_point_at(text, begin);
}

void append_code_point(std::string& out, char32_t value) {
  utf8proc_uint8_t bytes[4];
  const auto count = utf8proc_encode_char(static_cast<utf8proc_int32_t>(value), bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(count));
}

bool is_valid_utf8(std::string_view bytes) {
  return simdjson::validate_utf8(bytes.data(), bytes.size());
}

void append_with_replacement(std::string& out, std::string_view bytes) {
  if (is_valid_utf8(bytes)) {
    out.append(bytes);
    return;
  }
  for (std::size_t position = 0; position < bytes.size();) {
    const Subpart subpart = subpart_at(bytes, position);
    if (subpart.bytes == subpart.wanted) {
      out.append(bytes.substr(position, subpart.bytes));
    } else {
      out.append(replacement_character);
    }
    position += subpart.bytes;
  }
}

std::size_t incomplete_suffix_bytes(std::string_view bytes) {
  const std::size_t longest = std::min<std::size_t>(3, bytes.size());
  for (std::size_t count = longest; count > 0; --count) {
    const Subpart subpart = subpart_at(bytes, bytes.size() - count);
    if (subpart.bytes == count && subpart.wanted > count) return count;
  }
  return 0;
}

bool is_white_space(char32_t value) {
  if (value < 0x80) return value == ' ' || (value >= 9 && value <= 13);
  return value == 0x85 || value == 0xA0 || value == 0x1680 ||
         (value >= 0x2000 && value <= 0x200A) || value == 0x2028 || value == 0x2029 ||
         value == 0x202F || value == 0x205F || value == 0x3000;
}

}  // namespace collie::tok
