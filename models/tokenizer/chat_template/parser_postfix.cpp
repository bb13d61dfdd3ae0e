// What follows a value: .name, [index], (arguments), |filter, is test.
#include <algorithm>

#include "models/tokenizer/chat_template/parser.hpp"

namespace collie::chat {

using Type = Expression::Type;

Result<const Expression*> Parser::postfix(const Expression* node) {
  while (true) {
    if (at_sign(".") || at_sign("[")) {
      COLLIE_TRY(node, subscript(node));
    } else if (at_sign("(")) {
      COLLIE_TRY(node, call(node));
    } else {
      return node;
    }
  }
}

Result<const Expression*> Parser::filters_and_tests(const Expression* node) {
  while (true) {
    if (at_sign("|")) {
      COLLIE_TRY(node, filter_chain(node));
    } else if (at_name("is")) {
      COLLIE_TRY(node, test(node));
    } else if (at_sign("(")) {
      COLLIE_TRY(node, call(node));
    } else {
      return node;
    }
  }
}

Result<const Expression*> Parser::subscript(const Expression* object) {
  if (skip_sign(".")) {
    if (current().type == TokenType::integer) {
      COLLIE_TRY(const Expression* index, literal_number());
      Expression& node = make(Type::subscript);
      node.operands = {object, index};
      return &node;
    }
    Expression& node = make(Type::attribute);
    COLLIE_TRY(node.text, expect_name());
    node.operands = {object};
    return &node;
  }
  Expression& node = make(Type::subscript);
  take();
  std::vector<const Expression*> indices;
  while (!at_sign("]")) {
    if (!indices.empty()) COLLIE_TRY_VOID(expect_sign(","));
    COLLIE_TRY(const Expression* index, subscribed());
    indices.push_back(index);
  }
  take();
  if (indices.size() == 1) {
    node.operands = {object, indices.front()};
  } else {
    Expression& tuple_of_indices = make(Type::tuple);
    tuple_of_indices.operands = std::move(indices);
    node.operands = {object, &tuple_of_indices};
  }
  return &node;
}

Result<const Expression*> Parser::subscribed() {
  Expression& node = make(Type::slice);
  node.operands.assign(3, nullptr);
  if (!at_sign(":")) {
    COLLIE_TRY(node.operands[0], expression());
    if (!at_sign(":")) return node.operands[0];
  }
  for (std::size_t part = 1; part < 3 && skip_sign(":"); ++part) {
    if (at_sign(":") || at_sign("]") || at_sign(",")) continue;
    COLLIE_TRY(node.operands[part], expression());
  }
  return &node;
}

Status Parser::arguments(Expression& node) {
  COLLIE_TRY_VOID(expect_sign("("));
  const auto misplaced = [&] {
    return error(ErrorCode::invalid_file, "invalid order of arguments in a call");
  };
  bool first = true;
  while (!at_sign(")")) {
    if (!first) COLLIE_TRY_VOID(expect_sign(","));
    if (!first && at_sign(")")) break;
    first = false;
    if (skip_sign("*")) {
      if (node.spread != nullptr || node.spread_named != nullptr) return misplaced();
      COLLIE_TRY(node.spread, expression());
    } else if (skip_sign("**")) {
      if (node.spread_named != nullptr) return misplaced();
      COLLIE_TRY(node.spread_named, expression());
    } else if (current().type == TokenType::name && ahead().type == TokenType::sign &&
               ahead().text == "=") {
      if (node.spread_named != nullptr) return misplaced();
      std::string name = take().text;
      take();
      COLLIE_TRY(const Expression* value, expression());
      node.keywords.emplace_back(std::move(name), value);
    } else {
      if (node.spread != nullptr || node.spread_named != nullptr || !node.keywords.empty()) {
        return misplaced();
      }
      COLLIE_TRY(const Expression* value, expression());
      node.arguments.push_back(value);
    }
  }
  return expect_sign(")");
}

Result<const Expression*> Parser::call(const Expression* callee) {
  Expression& node = make(Type::call);
  node.operands = {callee};
  COLLIE_TRY_VOID(arguments(node));
  return &node;
}

Result<const Expression*> Parser::filter(const Expression* input) {
  Expression& node = make(Type::filter);
  node.operands = {input};
  COLLIE_TRY(node.text, expect_name());
  if (at_sign("(")) COLLIE_TRY_VOID(arguments(node));
  return &node;
}

Result<const Expression*> Parser::filter_chain(const Expression* node) {
  while (skip_sign("|")) {
    COLLIE_TRY(node, filter(node));
  }
  return node;
}

Result<const Expression*> Parser::test(const Expression* value) {
  Expression& node = make(Type::test);
  take();
  node.operands = {value};
  const bool negated = skip_name("not");
  COLLIE_TRY(node.text, expect_name());
  const auto begins_argument = [&] {
    switch (current().type) {
      case TokenType::name:
        return !at_name("else") && !at_name("or") && !at_name("and");
      case TokenType::string:
      case TokenType::integer:
      case TokenType::floating:
        return true;
      default:
        return at_sign("[") || at_sign("{");
    }
  };
  if (at_sign("(")) {
    COLLIE_TRY_VOID(arguments(node));
  } else if (begins_argument()) {
    if (at_name("is")) {
      return error(ErrorCode::invalid_file, "tests cannot be chained with is");
    }
    COLLIE_TRY(const Expression* argument, primary());
    COLLIE_TRY(argument, postfix(argument));
    node.arguments.push_back(argument);
  }
  if (!negated) return &node;
  Expression& negation = make(Type::unary);
  negation.text = "not";
  negation.operands = {&node};
  return &negation;
}

}  // namespace collie::chat
