// A template's text as tokens, as jinja2's lexer cuts it with trim_blocks and lstrip_blocks on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/result.hpp"

namespace collie::chat {

enum class TokenType : std::uint8_t {
  data,
  variable_begin,
  variable_end,
  block_begin,
  block_end,
  name,
  string,    // text is unescaped
  integer,   // text is as written
  floating,  // text is as written
  sign,      // an operator
  end,
};

struct Token {
  TokenType type = TokenType::end;
  int line = 1;
  std::string text;
};

// name stands for the template in errors ("name:line: ..."). The last token is the end.
Result<std::vector<Token>> read_tokens(std::string_view source, const std::string& name);

}  // namespace collie::chat
