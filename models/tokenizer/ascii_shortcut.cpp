#include "models/tokenizer/ascii_shortcut.hpp"

#include <array>
#include <cstdint>

namespace collie::tok {
namespace {

enum Class : std::uint8_t { other, letter, digit, line_break, apostrophe, not_ascii };

constexpr std::array<Class, 256> classes = [] {
  std::array<Class, 256> table{};
  for (unsigned c = 0; c < 256; ++c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) table[c] = letter;
    if (c >= '0' && c <= '9') table[c] = digit;
    if (c >= 0x80) table[c] = not_ascii;
  }
  table['\r'] = table['\n'] = line_break;
  table['\''] = apostrophe;
  return table;
}();

Class class_at(std::string_view text, std::size_t position) {
  return position < text.size() ? classes[static_cast<std::uint8_t>(text[position])] : other;
}

// The end of a run of one class, or 0 where a character beyond ASCII could prolong it.
std::size_t run_end(std::string_view text, std::size_t position, Class wanted,
                    std::size_t length_max) {
  const std::size_t begin = position;
  while (position - begin < length_max && class_at(text, position) == wanted) ++position;
  const bool full = position - begin == length_max;
  return !full && class_at(text, position) == not_ascii ? 0 : position;
}

}  // namespace

AsciiShortcut shortcut_for(std::string_view pattern) {
  if (pattern == R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)") {
    return AsciiShortcut::gpt2;
  }
  constexpr std::string_view head = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)";
  constexpr std::string_view tail = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  if (!pattern.starts_with(head) || !pattern.ends_with(tail)) return AsciiShortcut::none;
  const std::string_view numbers =
      pattern.substr(head.size(), pattern.size() - head.size() - tail.size());
  if (numbers == R"(\p{N})") return AsciiShortcut::qwen;
  if (numbers == R"(\p{N}{1,3})") return AsciiShortcut::llama3;
  return AsciiShortcut::none;
}

std::size_t ascii_match_bytes(AsciiShortcut shortcut, std::string_view text, std::size_t from) {
  if (shortcut == AsciiShortcut::none) return 0;
  const bool gpt2 = shortcut == AsciiShortcut::gpt2;
  std::size_t begin = from;
  // One character may lead a word: a space in GPT-2, else whatever is no line break. What begins
  // with an apostrophe may be a contraction.
  const bool leads = gpt2 ? begin < text.size() && text[begin] == ' ' : true;
  if (leads && class_at(text, begin) == other) ++begin;
  std::size_t end = 0;
  if (class_at(text, begin) == letter) {
    end = run_end(text, begin, letter, text.size());
  } else if (class_at(text, begin) == digit && (gpt2 || begin == from)) {
    const std::size_t digits_max = gpt2 ? text.size() : shortcut == AsciiShortcut::qwen ? 1 : 3;
    end = run_end(text, begin, digit, digits_max);
  }
  return end == 0 ? 0 : end - from;
}

}  // namespace collie::tok
