// Tuples, and what stands left of = and in.
#include "models/tokenizer/chat_template/parser.hpp"
#include "runtime/limits.hpp"

namespace collie::chat {

using Type = Expression::Type;

bool Parser::at_tuple_end(std::string_view ends_at) const {
  const TokenType type = current().type;
  if (type == TokenType::variable_end || type == TokenType::block_end || at_sign(")")) return true;
  return !ends_at.empty() && at_name(ends_at);
}

Result<const Expression*> Parser::tuple(bool with_condition, std::string_view ends_at,
                                        bool in_parentheses) {
  Expression& node = make(Type::tuple);
  bool is_tuple = false;
  while (!at_tuple_end(ends_at)) {
    COLLIE_TRY(const Expression* item, expression(with_condition));
    node.operands.push_back(item);
    if (!skip_sign(",")) break;
    is_tuple = true;
  }
  if (is_tuple) return &node;
  if (!node.operands.empty()) return node.operands.front();
  if (!in_parentheses) return unexpected("an expression");
  return &node;
}

Result<const Expression*> Parser::one_target(bool with_namespace) {
  if (at_sign("(")) {
    take();
    COLLIE_TRY(const Expression* inner, target(with_namespace));
    COLLIE_TRY_VOID(expect_sign(")"));
    return inner;
  }
  Expression& name = make(Type::name);
  COLLIE_TRY(name.text, expect_name());
  for (const std::string_view fixed : {"true", "false", "none", "True", "False", "None"}) {
    if (name.text == fixed) return error(ErrorCode::invalid_file, "can't assign to a constant");
  }
  if (!with_namespace || !at_sign(".")) return &name;
  Expression& node = make(Type::attribute);
  take();
  COLLIE_TRY(node.text, expect_name());
  node.operands = {&name};
  return &node;
}

Result<const Expression*> Parser::target(bool with_namespace) {
  if (++nesting_ > limits::chat_template_nesting_max) {
    return error(ErrorCode::invalid_file, "an expression is nested too deep");
  }
  Expression& node = make(Type::tuple);
  bool is_tuple = false;
  do {
    if (is_tuple && (at_tuple_end("in") || at_sign("="))) break;
    COLLIE_TRY(const Expression* item, one_target(with_namespace));
    node.operands.push_back(item);
    is_tuple = is_tuple || at_sign(",");
  } while (skip_sign(","));
  --nesting_;
  return is_tuple ? &node : node.operands.front();
}

}  // namespace collie::chat
