#include "models/metrics/text.hpp"

#include <utf8proc.h>

#include "models/tokenizer/utf8.hpp"

namespace collie::metrics {

namespace {

utf8proc_category_t category_of(char32_t value) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(value));
}

struct Step {
  char32_t value;
  std::size_t bytes;
};

Step step_at(std::string_view text, std::size_t position) {
  utf8proc_int32_t value = 0;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data() + position);
  const utf8proc_ssize_t count =
      utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(text.size() - position), &value);
  if (count <= 0) return {U'\uFFFD', 1};
  return {static_cast<char32_t>(value), static_cast<std::size_t>(count)};
}

}  // namespace

std::vector<char32_t> code_points_of(std::string_view text) {
  std::vector<char32_t> points;
  for (std::size_t at = 0; at < text.size();) {
    const Step step = step_at(text, at);
    points.push_back(step.value);
    at += step.bytes;
  }
  return points;
}

bool is_python_space(char32_t value) {
  return tok::is_white_space(value) || (value >= 0x1C && value <= 0x1F);
}

bool is_number(char32_t value) {
  const utf8proc_category_t category = category_of(value);
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool is_punctuation(char32_t value) {
  const utf8proc_category_t category = category_of(value);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool is_symbol(char32_t value) {
  const utf8proc_category_t category = category_of(value);
  return category >= UTF8PROC_CATEGORY_SM && category <= UTF8PROC_CATEGORY_SO;
}

bool is_word(char32_t value) {
  const utf8proc_category_t category = category_of(value);
  const bool is_letter = category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
  return is_letter || is_number(value) || value == '_';
}

void append_lower(std::string& out, char32_t value) {
  constexpr char32_t capital_i_with_dot = 0x130;
  constexpr char32_t combining_dot = 0x307;
  if (value == capital_i_with_dot) {
    out += 'i';
    tok::append_code_point(out, combining_dot);
    return;
  }
  const utf8proc_int32_t lower = utf8proc_tolower(static_cast<utf8proc_int32_t>(value));
  tok::append_code_point(out, static_cast<char32_t>(lower));
}

std::vector<std::string_view> split_words(std::string_view text) {
  std::vector<std::string_view> words;
  std::size_t begin = 0;
  for (std::size_t at = 0; at <= text.size();) {
    const Step step = at < text.size() ? step_at(text, at) : Step{' ', 1};
    if (is_python_space(step.value)) {
      if (at > begin) words.push_back(text.substr(begin, at - begin));
      begin = at + step.bytes;
    }
    at += step.bytes;
  }
  return words;
}

std::string_view without_trailing_space(std::string_view text) {
  std::size_t end = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Step step = step_at(text, at);
    at += step.bytes;
    if (!is_python_space(step.value)) end = at;
  }
  return text.substr(0, end);
}

}  // namespace collie::metrics
