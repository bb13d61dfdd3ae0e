#include "models/tokenizer/chat_template/lexer.hpp"

#include <algorithm>
#include <array>

#include "models/tokenizer/chat_template/lexer_string.hpp"
#include "models/tokenizer/chat_template/text.hpp"
#include "models/tokenizer/utf8.hpp"

namespace collie::chat {
namespace {

// As jinja2: every kind of line end counts as one \n, and the last one is dropped.
std::string normalized(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      text.push_back('\n');
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      text.push_back(source[i]);
    }
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& name)
      : text_(normalized(source)), name_(name) {}

  Result<std::vector<Token>> run() {
    while (place_ < text_.size()) COLLIE_TRY_VOID(next_part());
    add(TokenType::end, {});
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(text_).substr(place_); }

  Error error(std::string_view message) const {
    return make_error(ErrorCode::invalid_file, "{}:{}: {}", name_, line_, message);
  }

  void add(TokenType type, std::string text) { tokens_.push_back({type, line_, std::move(text)}); }

  void advance(std::size_t bytes) {
    const auto begin = text_.begin() + static_cast<std::ptrdiff_t>(place_);
    line_ += static_cast<int>(std::count(begin, begin + static_cast<std::ptrdiff_t>(bytes), '\n'));
    place_ += bytes;
    line_starting_ = bytes > 0 ? text_[place_ - 1] == '\n' : line_starting_;
  }

  // Text up to the next tag, and the tag.
  Status next_part() {
    std::size_t tag = place_;
    while (true) {
      tag = text_.find('{', tag);
      if (tag == text_.npos || tag + 1 >= text_.size()) {
        add(TokenType::data, std::string(rest()));
        advance(text_.size() - place_);
        return ok_status();
      }
      const char second = text_[tag + 1];
      if (second == '{' || second == '%' || second == '#') break;
      ++tag;
    }
    const char sign = tag + 2 < text_.size() ? text_[tag + 2] : '\0';
    const bool is_variable = text_[tag + 1] == '{';
    add_data(rest().substr(0, tag - place_), sign, is_variable);
    advance(tag + 2 + (sign == '-' || sign == '+' ? 1 : 0) - place_);
    if (text_[tag + 1] == '#') return skip_comment();
    if (!is_variable && is_raw()) return read_raw();
    add(is_variable ? TokenType::variable_begin : TokenType::block_begin, {});
    return read_tag(is_variable);
  }

  // What stands before a tag, without what lstrip_blocks or the tag's minus takes away.
  void add_data(std::string_view data, char sign, bool is_variable) {
    if (sign == '-') {
      data.remove_suffix(trailing_space(data));
    } else if (sign != '+' && !is_variable) {
      const std::size_t line_end = data.rfind('\n');
      const std::size_t line_begin = line_end == data.npos ? 0 : line_end + 1;
      const std::string_view line = data.substr(line_begin);
      if ((line_begin > 0 || line_starting_) && leading_space(line) == line.size()) {
        data = data.substr(0, line_begin);
      }
    }
    if (!data.empty()) add(TokenType::data, std::string(data));
  }

  // Bytes of a tag's end here: "-%}" with the white space behind it, "+%}", "%}" with one line end.
  std::size_t end_bytes(std::string_view here, std::string_view end, bool trims) const {
    if (here.starts_with('-') && here.substr(1).starts_with(end)) {
      return 3 + leading_space(here.substr(3));
    }
    if (trims && here.starts_with('+') && here.substr(1).starts_with(end)) return 3;
    if (!here.starts_with(end)) return 0;
    return trims && here.size() > 2 && here[2] == '\n' ? 3 : 2;
  }

  Status skip_comment() {
    for (std::size_t place = place_; place < text_.size(); ++place) {
      const char first = text_[place];
      if (first != '-' && first != '+' && first != '#') continue;
      const std::size_t bytes = end_bytes(std::string_view(text_).substr(place), "#}", true);
      if (bytes == 0) continue;
      advance(place + bytes - place_);
      return ok_status();
    }
    return error("a comment without its end, #}");
  }

  // Whether this block is {% raw %}, and how long its tag is.
  std::size_t raw_bytes() const {
    std::string_view here = rest();
    here.remove_prefix(leading_space(here));
    if (!here.starts_with("raw")) return 0;
    here.remove_prefix(3);
    here.remove_prefix(leading_space(here));
    const std::size_t end = here.starts_with("-%}")  ? 3 + leading_space(here.substr(3))
                            : here.starts_with("%}") ? 2
                                                     : 0;
    return end == 0 ? 0 : rest().size() - here.size() + end;
  }
  bool is_raw() const { return raw_bytes() > 0; }

  Status read_raw() {
    advance(raw_bytes());
    for (std::size_t tag = text_.find("{%", place_); tag != text_.npos;
         tag = text_.find("{%", tag + 1)) {
      std::string_view here = std::string_view(text_).substr(tag + 2);
      const char sign = here.empty() ? '\0' : here[0];
      if (sign == '-' || sign == '+') here.remove_prefix(1);
      here.remove_prefix(leading_space(here));
      if (!here.starts_with("endraw")) continue;
      here.remove_prefix(6);
      here.remove_prefix(leading_space(here));
      const std::size_t end = end_bytes(here, "%}", true);
      if (end == 0) continue;
      add_data(rest().substr(0, tag - place_), sign, false);
      advance(text_.size() - here.size() + end - place_);
      return ok_status();
    }
    return error("a raw block without {% endraw %}");
  }

  Status read_tag(bool is_variable) {
    const std::string_view end = is_variable ? "}}" : "%}";
    std::string open;  // brackets
    while (place_ < text_.size()) {
      advance(leading_space(rest()));
      const std::size_t bytes = open.empty() ? end_bytes(rest(), end, !is_variable) : 0;
      if (bytes > 0) {
        add(is_variable ? TokenType::variable_end : TokenType::block_end, {});
        advance(bytes);
        return ok_status();
      }
      if (place_ < text_.size()) COLLIE_TRY_VOID(read_token(open));
    }
    return error(is_variable ? "an expression without its end, }}" : "a block without its end, %}");
  }

  Status read_token(std::string& open) {
    const std::string_view here = rest();
    if (here[0] == '\'' || here[0] == '"') {
      const std::size_t bytes = string_bytes(here);
      if (bytes == 0) return error("a string without its closing quote");
      auto text = unescaped(here.substr(1, bytes - 2));
      if (!text.ok()) return error(text.error().message);
      add(TokenType::string, std::move(*text));
      advance(bytes);
      return ok_status();
    }
    if (const NumberBytes number = number_bytes(here); number.bytes > 0) {
      add(number.floating ? TokenType::floating : TokenType::integer,
          std::string(here.substr(0, number.bytes)));
      advance(number.bytes);
      return ok_status();
    }
    if (const std::size_t bytes = name_bytes(here); bytes > 0) {
      add(TokenType::name, std::string(here.substr(0, bytes)));
      advance(bytes);
      return ok_status();
    }
    return read_sign(open);
  }

  Status read_sign(std::string& open) {
    static constexpr std::array<std::string_view, 27> signs = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]",
        "(",  ")",  "{",  "}",  ">",  "<",  "=", ".", ":", "|", ",", ";", ""};
    const std::string_view here = rest();
    const auto sign = *std::find_if(signs.begin(), signs.end(), [&](std::string_view known) {
      return here.starts_with(known);
    });
    if (sign.empty()) {
      const std::size_t bytes = tok::code_point_at(here, 0).bytes;
      return error(fmt::format("unexpected character '{}'", here.substr(0, bytes)));
    }
    if (sign == "(" || sign == "[" || sign == "{") {
      open.push_back(sign == "(" ? ')' : sign == "[" ? ']' : '}');
    } else if (sign == ")" || sign == "]" || sign == "}") {
      if (open.empty() || open.back() != sign[0])
        return error(fmt::format("unexpected '{}'", sign));
      open.pop_back();
    }
    add(TokenType::sign, std::string(sign));
    advance(sign.size());
    return ok_status();
  }

  std::string text_;
  const std::string& name_;
  std::vector<Token> tokens_;
  std::size_t place_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
};

}  // namespace

Result<std::vector<Token>> read_tokens(std::string_view source, const std::string& name) {
  return Lexer(source, name).run();
}

}  // namespace collie::chat
