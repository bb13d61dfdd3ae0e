// A place in a schedule file. Only text_format's parts use it.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "runtime/result.hpp"

namespace collie {

inline bool is_digit(char letter) {
  return letter >= '0' && letter <= '9';
}
inline bool is_word_letter(char letter) {
  return (letter >= 'A' && letter <= 'Z') || (letter >= 'a' && letter <= 'z') || letter == '_' ||
         letter == '-';
}
inline bool is_blank(char letter) {
  return letter == ' ' || letter == '\t' || letter == '\n' || letter == '\r';
}

class TextCursor {
 public:
  TextCursor(std::string_view text, std::string_view file) : text_(text), file_(file) {}

  std::size_t at() const { return at_; }
  void go_to(std::size_t at) { at_ = at; }
  void advance() {
    if (!at_end()) ++at_;
  }
  bool at_end() const { return at_ >= text_.size(); }
  // The letter here; at the end a NUL, which is no letter of the format.
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  std::string_view rest() const { return text_.substr(at_); }
  std::string_view text() const { return text_; }

  bool take(char wanted) {
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }

  // Blanks, line ends and comments.
  void skip_space() {
    while (!at_end()) {
      if (is_blank(text_[at_])) {
        ++at_;
      } else if (text_[at_] == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else {
        return;
      }
    }
  }

  // Letters, '_' and '-'; may be empty.
  std::string_view word() {
    const std::size_t begin = at_;
    while (!at_end() && is_word_letter(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }
  // Up to a blank or a comment.
  std::string_view token() {
    const std::size_t begin = at_;
    while (!at_end() && !is_blank(text_[at_]) && text_[at_] != '#') ++at_;
    return text_.substr(begin, at_ - begin);
  }

  // "FILE:LINE:COLUMN: sentence" for a place in the text.
  template <class... Args>
  Error error_at(std::size_t at, fmt::format_string<Args...> format, Args&&... args) const {
    const auto line = 1 + std::ranges::count(text_.substr(0, at), '\n');
    return make_error(ErrorCode::invalid_file, "{}:{}:{}: {}", file_, line, column_of(at),
                      fmt::format(format, std::forward<Args>(args)...));
  }
  // From 1, in bytes.
  std::size_t column_of(std::size_t at) const {
    const std::size_t line_begin = text_.substr(0, at).rfind('\n') + 1;  // npos + 1 is 0
    return at - line_begin + 1;
  }

 private:
  std::string_view text_;
  std::string_view file_;
  std::size_t at_ = 0;
};

}  // namespace collie
