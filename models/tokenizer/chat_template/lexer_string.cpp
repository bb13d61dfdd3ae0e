#include "models/tokenizer/chat_template/lexer_string.hpp"

#include "models/tokenizer/chat_template/text.hpp"
#include "models/tokenizer/utf8.hpp"

namespace collie::chat {
namespace {

bool is_ascii_digit(char c) {
  return c >= '0' && c <= '9';
}

int digit_value(char c) {
  if (is_ascii_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

// Digits of the base with single underscores between them, or before the first where allowed.
std::size_t digits_bytes(std::string_view text, int base, bool underscore_first) {
  std::size_t bytes = 0;
  while (bytes < text.size()) {
    const bool underscore = text[bytes] == '_' && (bytes > 0 || underscore_first);
    const std::size_t digit = bytes + (underscore ? 1 : 0);
    if (digit >= text.size() || digit_value(text[digit]) >= base) break;
    bytes = digit + 1;
  }
  return bytes;
}

std::size_t exponent_bytes(std::string_view text) {
  if (text.empty() || (text[0] != 'e' && text[0] != 'E')) return 0;
  const std::size_t sign = text.size() > 1 && (text[1] == '+' || text[1] == '-') ? 1 : 0;
  const std::size_t digits = digits_bytes(text.substr(1 + sign), 10, false);
  return digits == 0 ? 0 : 1 + sign + digits;
}

std::size_t prefixed_bytes(std::string_view text) {
  if (text.size() < 3 || text[0] != '0') return 0;
  const char letter = static_cast<char>(text[1] | 0x20);
  const int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
  if (base == 0) return 0;
  const std::size_t digits = digits_bytes(text.substr(2), base, true);
  return digits == 0 ? 0 : 2 + digits;
}

}  // namespace

std::size_t string_bytes(std::string_view text) {
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == text[0]) {
      return i + 1;
    }
  }
  return 0;
}

std::size_t name_bytes(std::string_view text) {
  std::size_t bytes = 0;
  while (bytes < text.size()) {
    const auto [value, size] = tok::code_point_at(text, bytes);
    const bool digit = is_digit(value);
    if (value != '_' && !is_letter(value) && !(digit && bytes > 0)) break;
    bytes += size;
  }
  return bytes;
}

NumberBytes number_bytes(std::string_view text) {
  const std::size_t whole = digits_bytes(text, 10, false);
  if (whole == 0) return {};
  std::size_t bytes = whole;
  if (bytes < text.size() && text[bytes] == '.') {
    const std::size_t fraction = digits_bytes(text.substr(bytes + 1), 10, false);
    if (fraction > 0) bytes += 1 + fraction;
  }
  bytes += exponent_bytes(text.substr(bytes));
  if (bytes > whole) return {bytes, true};
  if (const std::size_t prefixed = prefixed_bytes(text)) return {prefixed, false};
  if (text[0] != '0') return {whole, false};
  std::size_t zeros = 1;
  while (zeros < whole && (text[zeros] == '0' || (text[zeros] == '_' && text[zeros + 1] == '0'))) {
    zeros += text[zeros] == '0' ? 1 : 2;
  }
  return {zeros, false};
}

namespace {

// The number that \x, \u, \U or an octal escape stands for; bytes counts its digits.
Result<char32_t> code_of(std::string_view digits, int base, std::size_t wanted) {
  char32_t code = 0;
  if (digits.size() < wanted) {
    return make_error(ErrorCode::invalid_file, "an escape in a string lacks digits");
  }
  for (std::size_t i = 0; i < wanted; ++i) {
    const int digit = digit_value(digits[i]);
    if (digit >= base) {
      return make_error(ErrorCode::invalid_file, "an escape in a string lacks digits");
    }
    code = code * static_cast<char32_t>(base) + static_cast<char32_t>(digit);
  }
  if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
    return make_error(ErrorCode::invalid_file, "an escape in a string names no character");
  }
  return code;
}

std::size_t octal_digits(std::string_view text) {
  std::size_t count = 0;
  while (count < 3 && count < text.size() && digit_value(text[count]) < 8) ++count;
  return count;
}

// Appends what the escape at the beginning stands for; returns its bytes behind the backslash.
Result<std::size_t> append_escape(std::string& out, std::string_view text) {
  static constexpr std::string_view letters = "nrtabfv\\'\"";
  static constexpr std::string_view meanings = "\n\r\t\a\b\f\v\\'\"";
  const char letter = text[0];
  if (const std::size_t known = letters.find(letter); known != letters.npos) {
    out.push_back(meanings[known]);
    return 1;
  }
  if (letter == '\n') return 1;
  const std::size_t hex = letter == 'x' ? 2 : letter == 'u' ? 4 : letter == 'U' ? 8 : 0;
  if (hex > 0) {
    COLLIE_TRY(const char32_t code, code_of(text.substr(1), 16, hex));
    tok::append_code_point(out, code);
    return 1 + hex;
  }
  if (const std::size_t octal = octal_digits(text); octal > 0) {
    COLLIE_TRY(const char32_t code, code_of(text, 8, octal));
    tok::append_code_point(out, code);
    return octal;
  }
  if (letter == 'N') {
    return make_error(ErrorCode::unsupported,
                      "escapes by a character's name (\\N) are unsupported");
  }
  out.push_back('\\');
  return 0;
}

}  // namespace

Result<std::string> unescaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t slash = text.find('\\');
    out.append(text.substr(0, slash));
    if (slash == text.npos || slash + 1 == text.size()) break;
    text.remove_prefix(slash + 1);
    COLLIE_TRY(const std::size_t bytes, append_escape(out, text));
    text.remove_prefix(bytes);
  }
  return out;
}

}  // namespace collie::chat
