#include <fmt/ranges.h>

#include "actors/schedule/text_parts.hpp"
#include "runtime/limits.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

Result<int> read_expression(TextCursor& cursor, std::span<const Variable> variables) {
  const std::size_t begin = cursor.at() + 1;
  const std::string_view rest = cursor.text().substr(begin, limits::expression_bytes_max + 1);
  const std::size_t end = rest.find_first_of("}\n");
  if (end == rest.npos || rest[end] == '\n') {
    return cursor.error_at(begin - 1, "the expression's closing '}}' is missing");
  }
  const Evaluation value = evaluate_expression(rest.substr(0, end), variables);
  if (!value.ok()) return cursor.error_at(begin + value.error_column - 1, "{}", value.problem);
  cursor.go_to(begin + end + 1);
  return value.value;
}

// Behind a backslash; false where it stands for nothing.
bool read_escape(TextCursor& cursor, std::string& name) {
  constexpr std::string_view hex = "0123456789abcdef";
  const char letter = cursor.peek();
  cursor.advance();
  if (letter == '"' || letter == '\\') {
    name += letter;
    return true;
  }
  const std::string_view rest = cursor.rest();
  if (letter != 'x' || rest.size() < 2) return false;
  const std::size_t high = hex.find(rest[0]);
  const std::size_t low = hex.find(rest[1]);
  if (high == hex.npos || low == hex.npos) return false;
  name += static_cast<char>(high * 16 + low);
  cursor.go_to(cursor.at() + 2);
  return true;
}

Result<std::string> read_quoted(TextCursor& cursor) {
  const std::size_t begin = cursor.at() - 1;
  std::string name;
  while (!cursor.take('"')) {
    if (cursor.at_end() || cursor.peek() == '\n') {
      return cursor.error_at(begin, "the name's closing quote is missing");
    }
    const std::size_t at = cursor.at();
    if (!cursor.take('\\')) {
      name += cursor.peek();
      cursor.advance();
    } else if (!read_escape(cursor, name)) {
      return cursor.error_at(at, R"(behind \ should stand ", \ or xHH)");
    }
  }
  return name;
}

}  // namespace

Result<int> read_number(TextCursor& cursor, std::span<const Variable> variables,
                        std::string_view what) {
  if (cursor.peek() == '{') return read_expression(cursor, variables);
  const std::size_t begin = cursor.at();
  int value = 0;
  while (is_digit(cursor.peek())) {
    if (cursor.at() - begin == 9) return cursor.error_at(begin, "{} is too large", what);
    value = value * 10 + (cursor.peek() - '0');
    cursor.advance();
  }
  if (cursor.at() > begin) return value;
  return cursor.error_at(begin, "{} should stand here, a number or an {{expression}}", what);
}

Status read_number_within(TextCursor& cursor, int& field, std::string_view what, int least,
                          int most) {
  cursor.skip_space();
  const std::size_t at = cursor.at();
  COLLIE_TRY(field, read_number(cursor, {}, what));
  if (field >= least && field <= most) return ok_status();
  return cursor.error_at(at, "{} is {}; it should be between {} and {}", what, field, least, most);
}

Result<std::size_t> read_choice(TextCursor& cursor, std::span<const std::string> words,
                                std::string_view what) {
  cursor.skip_space();
  const std::size_t at = cursor.at();
  const std::string_view word = cursor.word();
  const auto found = std::ranges::find(words, word);
  if (found != words.end()) return static_cast<std::size_t>(found - words.begin());
  std::string hint = did_you_mean(word, words);
  if (hint.empty()) hint = fmt::format("; known are {}", fmt::join(words, ", "));
  return cursor.error_at(at, "unknown {} {}{}", what, quoted_name(word), hint);
}

Result<std::string> read_name(TextCursor& cursor) {
  cursor.skip_space();
  const std::size_t at = cursor.at();
  std::string name;
  if (cursor.take('"')) {
    COLLIE_TRY(name, read_quoted(cursor));
  } else {
    name = cursor.token();
    if (name.empty()) return cursor.error_at(at, "the name is missing");
  }
  if (name.size() <= limits::schedule_name_bytes_max) return name;
  return cursor.error_at(at, "the name is longer than {} bytes", limits::schedule_name_bytes_max);
}

}  // namespace collie
