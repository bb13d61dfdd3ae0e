#include <algorithm>
#include <array>

#include "models/tokenizer/chat_template/parser.hpp"
#include "runtime/limits.hpp"

namespace collie::chat {

Statement& Parser::make(Statement::Type type) {
  Statement& node = tree_->statements.emplace_back();
  node.type = type;
  node.line = current().line;
  return node;
}

Result<std::unique_ptr<const Tree>> Parser::run() {
  COLLIE_TRY(tree_->body, statements({}));
  return std::unique_ptr<const Tree>(std::move(tree_));
}

Result<Body> Parser::statements(const std::vector<std::string_view>& ends) {
  if (++nesting_ > limits::chat_template_nesting_max) {
    return error(ErrorCode::invalid_file, "blocks are nested too deep");
  }
  Body body;
  while (true) {
    if (current().type == TokenType::end) {
      if (!ends.empty()) return unexpected(fmt::format("{{% {} %}}", ends.back()));
      break;
    }
    if (current().type == TokenType::data) {
      Statement& node = make(Statement::Type::text);
      node.text = take().text;
      body.push_back(&node);
    } else if (current().type == TokenType::variable_begin) {
      COLLIE_TRY_VOID(output(body));
    } else {
      take();  // {%
      const bool ended = current().type == TokenType::name &&
                         std::find(ends.begin(), ends.end(), current().text) != ends.end();
      if (ended) break;
      COLLIE_TRY(const Statement* node, statement());
      body.push_back(node);
      COLLIE_TRY_VOID(expect(TokenType::block_end, "%}"));
    }
  }
  --nesting_;
  return body;
}

Status Parser::output(Body& body) {
  Statement& node = make(Statement::Type::output);
  take();
  COLLIE_TRY(const Expression* value, tuple(true));
  node.values.push_back(value);
  body.push_back(&node);
  return expect(TokenType::variable_end, "}}");
}

Result<Body> Parser::block_body(const std::vector<std::string_view>& ends) {
  skip_sign(":");
  COLLIE_TRY_VOID(expect(TokenType::block_end, "%}"));
  return statements(ends);
}

Result<Body> Parser::whole_block_body(std::string_view end) {
  COLLIE_TRY(Body body, block_body({end}));
  take();
  return body;
}

Result<const Statement*> Parser::statement() {
  if (current().type != TokenType::name) return unexpected("the name of a block");
  return statement_of(current().text);
}

Result<const Statement*> Parser::statement_of(const std::string& tag) {
  if (tag == "for") return for_statement();
  if (tag == "if") return if_statement();
  if (tag == "set") return set_statement();
  if (tag == "macro") return macro_statement();
  if (tag == "call") return call_statement();
  if (tag == "with") return with_statement();
  if (tag == "filter") return filter_statement();
  if (tag == "generation") return generation_statement();
  if (tag == "break") return loop_control(Statement::Type::leave);
  if (tag == "continue") return loop_control(Statement::Type::skip);
  static constexpr std::array<std::string_view, 8> known = {
      "print", "block", "extends", "include", "from", "import", "autoescape", "trans"};
  if (std::find(known.begin(), known.end(), tag) != known.end()) {
    return error(ErrorCode::unsupported,
                 fmt::format("{{% {} %}} is not supported in chat templates here", tag));
  }
  return error(ErrorCode::invalid_file,
               fmt::format("unknown or misplaced block {{% {} %}}", tag.substr(0, 40)));
}

Result<const Statement*> Parser::for_statement() {
  Statement& node = make(Statement::Type::loop);
  take();
  COLLIE_TRY(node.target, target(false));
  if (!skip_name("in")) return unexpected("'in'");
  COLLIE_TRY(const Expression* items, tuple(false, "recursive"));
  const Expression* condition = nullptr;
  if (skip_name("if")) {
    COLLIE_TRY(condition, expression());
  }
  node.values = {items, condition};
  if (at_name("recursive")) {
    return error(ErrorCode::unsupported, "recursive loops are not supported");
  }
  ++loops_;
  COLLIE_TRY(Body body, block_body({"else", "endfor"}));
  --loops_;
  Body otherwise;
  if (take().text == "else") {
    COLLIE_TRY(otherwise, whole_block_body("endfor"));
  }
  node.bodies = {std::move(body), std::move(otherwise)};
  return &node;
}

Result<const Statement*> Parser::if_statement() {
  Statement& node = make(Statement::Type::branch);
  take();
  while (true) {
    COLLIE_TRY(const Expression* test, tuple(false));
    COLLIE_TRY(Body body, block_body({"elif", "else", "endif"}));
    node.values.push_back(test);
    node.bodies.push_back(std::move(body));
    const std::string end = take().text;
    if (end == "endif") return &node;
    if (end == "elif") continue;
    COLLIE_TRY(Body otherwise, whole_block_body("endif"));
    node.bodies.push_back(std::move(otherwise));
    return &node;
  }
}

Result<const Statement*> Parser::set_statement() {
  Statement& node = make(Statement::Type::assign);
  take();
  COLLIE_TRY(node.target, target(true));
  if (skip_sign("=")) {
    COLLIE_TRY(const Expression* value, tuple(true));
    node.values.push_back(value);
    return &node;
  }
  node.type = Statement::Type::capture;
  COLLIE_TRY(const Expression* filters, filter_chain(nullptr));
  node.values.push_back(filters);
  COLLIE_TRY(Body body, whole_block_body("endset"));
  node.bodies.push_back(std::move(body));
  return &node;
}

Status Parser::signature(Statement& node) {
  COLLIE_TRY_VOID(expect_sign("("));
  while (!at_sign(")")) {
    if (!node.parameters.empty()) COLLIE_TRY_VOID(expect_sign(","));
    Parameter parameter;
    COLLIE_TRY(parameter.name, expect_name());
    if (skip_sign("=")) {
      COLLIE_TRY(parameter.otherwise, expression());
    } else if (!node.parameters.empty() && node.parameters.back().otherwise != nullptr) {
      return error(ErrorCode::invalid_file,
                   "a parameter without default behind one with a default");
    }
    node.parameters.push_back(std::move(parameter));
  }
  return expect_sign(")");
}

// A body of its own: break and continue do not leave it.
Status Parser::callable_body(Statement& node, std::string_view end) {
  const Uses outside = std::exchange(uses_, {});
  const int loops = std::exchange(loops_, 0);
  COLLIE_TRY(Body body, whole_block_body(end));
  node.bodies.push_back(std::move(body));
  node.uses_varargs = uses_.varargs;
  node.uses_kwargs = uses_.kwargs;
  node.uses_caller = uses_.caller;
  uses_ = {outside.varargs || uses_.varargs, outside.kwargs || uses_.kwargs,
           outside.caller || uses_.caller};
  loops_ = loops;
  return ok_status();
}

Result<const Statement*> Parser::macro_statement() {
  Statement& node = make(Statement::Type::macro);
  take();
  COLLIE_TRY(node.text, expect_name());
  COLLIE_TRY_VOID(signature(node));
  COLLIE_TRY_VOID(callable_body(node, "endmacro"));
  return &node;
}

Result<const Statement*> Parser::call_statement() {
  Statement& node = make(Statement::Type::call);
  take();
  node.text = "caller";
  if (at_sign("(")) COLLIE_TRY_VOID(signature(node));
  COLLIE_TRY(const Expression* value, expression());
  if (value->type != Expression::Type::call) return unexpected("a call");
  node.values.push_back(value);
  COLLIE_TRY_VOID(callable_body(node, "endcall"));
  return &node;
}

Result<const Statement*> Parser::with_statement() {
  Statement& node = make(Statement::Type::with);
  take();
  while (current().type != TokenType::block_end && !at_sign(":")) {
    if (!node.names.empty()) COLLIE_TRY_VOID(expect_sign(","));
    COLLIE_TRY(std::string name, expect_name());
    COLLIE_TRY_VOID(expect_sign("="));
    COLLIE_TRY(const Expression* value, expression());
    node.names.push_back(std::move(name));
    node.values.push_back(value);
  }
  COLLIE_TRY(Body body, whole_block_body("endwith"));
  node.bodies.push_back(std::move(body));
  return &node;
}

Result<const Statement*> Parser::filter_statement() {
  Statement& node = make(Statement::Type::filter);
  take();
  COLLIE_TRY(const Expression* first, filter(nullptr));
  COLLIE_TRY(const Expression* filters, filter_chain(first));
  node.values.push_back(filters);
  COLLIE_TRY(Body body, whole_block_body("endfilter"));
  node.bodies.push_back(std::move(body));
  return &node;
}

Result<const Statement*> Parser::generation_statement() {
  Statement& node = make(Statement::Type::generation);
  take();
  tree_->has_generation = true;
  COLLIE_TRY_VOID(callable_body(node, "endgeneration"));
  return &node;
}

Result<const Statement*> Parser::loop_control(Statement::Type type) {
  Statement& node = make(type);
  if (loops_ == 0) {
    return error(ErrorCode::invalid_file, fmt::format("{{% {} %}} outside a loop", current().text));
  }
  take();
  return &node;
}

Result<std::unique_ptr<const Tree>> parse_template(std::string_view source,
                                                   const std::string& name) {
  if (source.size() > limits::chat_template_bytes_max) {
    return make_error(ErrorCode::invalid_file, "{}: a chat template of {} bytes, at most {}", name,
                      source.size(), limits::chat_template_bytes_max);
  }
  COLLIE_TRY(std::vector<Token> tokens, read_tokens(source, name));
  return Parser(std::move(tokens), name).run();
}

}  // namespace collie::chat
