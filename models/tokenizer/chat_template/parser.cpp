// Stepping through tokens, and what goes wrong there.
#include "models/tokenizer/chat_template/parser.hpp"

#include <array>

namespace collie::chat {

bool Parser::skip_sign(std::string_view sign) {
  if (!at_sign(sign)) return false;
  take();
  return true;
}

bool Parser::skip_name(std::string_view name) {
  if (!at_name(name)) return false;
  take();
  return true;
}

Error Parser::error(ErrorCode code, std::string_view message) const {
  return make_error(code, "{}:{}: {}", name_, current().line, message);
}

Error Parser::unexpected(std::string_view wanted) const {
  static constexpr std::array<std::string_view, 11> kinds = {"text",
                                                             "{{",
                                                             "}}",
                                                             "{%",
                                                             "%}",
                                                             "the name ",
                                                             "a string",
                                                             "a number",
                                                             "a number",
                                                             "",
                                                             "the end of the template"};
  const Token& token = current();
  std::string got(kinds[static_cast<std::size_t>(token.type)]);
  if (token.type == TokenType::name || token.type == TokenType::sign) {
    got += fmt::format("'{}'", token.text.substr(0, 40));
  }
  return error(ErrorCode::invalid_file, fmt::format("expected {}, got {}", wanted, got));
}

Status Parser::expect_sign(std::string_view sign) {
  if (!skip_sign(sign)) return unexpected(fmt::format("'{}'", sign));
  return ok_status();
}

Status Parser::expect(TokenType type, std::string_view what) {
  if (current().type != type) return unexpected(what);
  take();
  return ok_status();
}

Result<std::string> Parser::expect_name() {
  if (current().type != TokenType::name) return unexpected("a name");
  return take().text;
}

}  // namespace collie::chat
