// Tokens -> tree, by jinja2's grammar.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/chat_template/ast.hpp"
#include "models/tokenizer/chat_template/lexer.hpp"
#include "runtime/result.hpp"

namespace collie::chat {

// Errors: invalid_file and unsupported, "name:line: ...".
Result<std::unique_ptr<const Tree>> parse_template(std::string_view source,
                                                   const std::string& name);

// Members of the two halves of the parser; see parser_expressions.cpp and parser_statements.cpp.
class Parser {
 public:
  Parser(std::vector<Token> tokens, const std::string& name)
      : tokens_(std::move(tokens)), name_(name), tree_(std::make_unique<Tree>()) {}
  Result<std::unique_ptr<const Tree>> run();

 private:
  using ExpressionResult = Result<const Expression*>;
  using StatementResult = Result<const Statement*>;

  const Token& current() const { return tokens_[place_]; }
  const Token& ahead() const { return tokens_[std::min(place_ + 1, tokens_.size() - 1)]; }
  bool at_sign(std::string_view sign) const {
    return current().type == TokenType::sign && current().text == sign;
  }
  bool at_name(std::string_view name) const {
    return current().type == TokenType::name && current().text == name;
  }
  Token take() { return tokens_[place_ + 1 < tokens_.size() ? place_++ : place_]; }
  bool skip_sign(std::string_view sign);
  bool skip_name(std::string_view name);
  Status expect_sign(std::string_view sign);
  Status expect(TokenType type, std::string_view what);
  Result<std::string> expect_name();
  Error error(ErrorCode code, std::string_view message) const;
  Error unexpected(std::string_view wanted) const;

  Expression& make(Expression::Type type);
  Statement& make(Statement::Type type);

  ExpressionResult expression(bool with_condition = true);
  ExpressionResult either();
  ExpressionResult both();
  ExpressionResult negation();
  ExpressionResult comparison();
  ExpressionResult sum();
  ExpressionResult concatenation();
  ExpressionResult product();
  ExpressionResult power();
  ExpressionResult unary(bool with_filter = true);
  ExpressionResult primary();
  ExpressionResult literal_string();
  ExpressionResult literal_number();
  ExpressionResult list_or_dict();
  ExpressionResult postfix(const Expression* node);
  ExpressionResult filters_and_tests(const Expression* node);
  ExpressionResult subscript(const Expression* node);
  ExpressionResult subscribed();
  ExpressionResult call(const Expression* node);
  ExpressionResult filter(const Expression* node);
  ExpressionResult filter_chain(const Expression* node);
  ExpressionResult test(const Expression* node);
  Status arguments(Expression& node);
  // Expressions with commas between them are a tuple. ends_at: a name that ends it.
  ExpressionResult tuple(bool with_condition, std::string_view ends_at = {},
                         bool in_parentheses = false);
  bool at_tuple_end(std::string_view ends_at) const;
  ExpressionResult target(bool with_namespace);
  ExpressionResult one_target(bool with_namespace);

  // Statements up to a block that begins with one of these names, which is left as the current
  // token; an empty list: up to the end.
  Result<Body> statements(const std::vector<std::string_view>& ends);
  Result<Body> block_body(const std::vector<std::string_view>& ends);
  Result<Body> whole_block_body(std::string_view end);
  Status output(Body& body);
  StatementResult statement();
  StatementResult statement_of(const std::string& tag);
  StatementResult for_statement();
  StatementResult if_statement();
  StatementResult set_statement();
  StatementResult macro_statement();
  StatementResult call_statement();
  StatementResult with_statement();
  StatementResult filter_statement();
  StatementResult generation_statement();
  StatementResult loop_control(Statement::Type type);
  Status signature(Statement& node);
  Status callable_body(Statement& node, std::string_view end);

  struct Uses {
    bool varargs = false;
    bool kwargs = false;
    bool caller = false;
  };

  std::vector<Token> tokens_;
  const std::string& name_;
  std::unique_ptr<Tree> tree_;
  std::size_t place_ = 0;
  int nesting_ = 0;
  int loops_ = 0;  // around this place, inside the macro
  Uses uses_;      // names met in this macro
};

}  // namespace collie::chat
