#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "models/tokenizer/chat_template/parser.hpp"
#include "runtime/limits.hpp"

namespace collie::chat {

using Type = Expression::Type;

Expression& Parser::make(Type type) {
  Expression& node = tree_->expressions.emplace_back();
  node.type = type;
  node.line = current().line;
  return node;
}

Result<const Expression*> Parser::expression(bool with_condition) {
  if (++nesting_ > limits::chat_template_nesting_max) {
    return error(ErrorCode::invalid_file, "an expression is nested too deep");
  }
  COLLIE_TRY(const Expression* value, either());
  while (with_condition && at_name("if")) {
    Expression& node = make(Type::conditional);
    take();
    COLLIE_TRY(const Expression* test, either());
    const Expression* otherwise = nullptr;
    if (skip_name("else")) {
      COLLIE_TRY(otherwise, expression());
    }
    node.operands = {test, value, otherwise};
    value = &node;
  }
  --nesting_;
  return value;
}

Result<const Expression*> Parser::either() {
  COLLIE_TRY(const Expression* left, both());
  while (at_name("or")) {
    Expression& node = make(Type::either);
    take();
    COLLIE_TRY(const Expression* right, both());
    node.operands = {left, right};
    left = &node;
  }
  return left;
}

Result<const Expression*> Parser::both() {
  COLLIE_TRY(const Expression* left, negation());
  while (at_name("and")) {
    Expression& node = make(Type::both);
    take();
    COLLIE_TRY(const Expression* right, negation());
    node.operands = {left, right};
    left = &node;
  }
  return left;
}

Result<const Expression*> Parser::negation() {
  std::vector<Expression*> negations;
  while (at_name("not")) {
    Expression& node = make(Type::unary);
    node.text = take().text;
    negations.push_back(&node);
  }
  COLLIE_TRY(const Expression* value, comparison());
  for (auto node = negations.rbegin(); node != negations.rend(); ++node) {
    (*node)->operands = {value};
    value = *node;
  }
  return value;
}

Result<const Expression*> Parser::comparison() {
  COLLIE_TRY(const Expression* first, sum());
  Expression* node = nullptr;
  while (true) {
    std::string sign;
    if (current().type == TokenType::sign) {
      for (const std::string_view known : {"==", "!=", "<", "<=", ">", ">="}) {
        if (current().text == known) sign = known;
      }
    } else if (at_name("in")) {
      sign = "in";
    } else if (at_name("not") && ahead().type == TokenType::name && ahead().text == "in") {
      sign = "not in";
    }
    if (sign.empty()) return node == nullptr ? first : node;
    if (node == nullptr) {
      node = &make(Type::compare);
      node->operands = {first};
    }
    take();
    if (sign == "not in") take();
    COLLIE_TRY(const Expression* next, sum());
    node->operands.push_back(next);
    node->operators.push_back(std::move(sign));
  }
}

Result<const Expression*> Parser::sum() {
  COLLIE_TRY(const Expression* left, concatenation());
  while (at_sign("+") || at_sign("-")) {
    Expression& node = make(Type::binary);
    node.text = take().text;
    COLLIE_TRY(const Expression* right, concatenation());
    node.operands = {left, right};
    left = &node;
  }
  return left;
}

Result<const Expression*> Parser::concatenation() {
  COLLIE_TRY(const Expression* first, product());
  if (!at_sign("~")) return first;
  Expression& node = make(Type::concatenate);
  node.operands = {first};
  while (skip_sign("~")) {
    COLLIE_TRY(const Expression* next, product());
    node.operands.push_back(next);
  }
  return &node;
}

Result<const Expression*> Parser::product() {
  COLLIE_TRY(const Expression* left, power());
  while (at_sign("*") || at_sign("/") || at_sign("//") || at_sign("%")) {
    Expression& node = make(Type::binary);
    node.text = take().text;
    COLLIE_TRY(const Expression* right, power());
    node.operands = {left, right};
    left = &node;
  }
  return left;
}

Result<const Expression*> Parser::power() {
  COLLIE_TRY(const Expression* left, unary());
  while (at_sign("**")) {
    Expression& node = make(Type::binary);
    node.text = take().text;
    COLLIE_TRY(const Expression* right, unary());
    node.operands = {left, right};
    left = &node;
  }
  return left;
}

Result<const Expression*> Parser::unary(bool with_filter) {
  const Expression* value = nullptr;
  if (at_sign("-") || at_sign("+")) {
    if (++nesting_ > limits::chat_template_nesting_max) {
      return error(ErrorCode::invalid_file, "an expression is nested too deep");
    }
    Expression& node = make(Type::unary);
    node.text = take().text;
    COLLIE_TRY(const Expression* operand, unary(false));
    node.operands = {operand};
    value = &node;
    --nesting_;
  } else {
    COLLIE_TRY(value, primary());
  }
  COLLIE_TRY(value, postfix(value));
  return with_filter ? filters_and_tests(value) : ExpressionResult(value);
}

Result<const Expression*> Parser::primary() {
  switch (current().type) {
    case TokenType::string:
      return literal_string();
    case TokenType::integer:
    case TokenType::floating:
      return literal_number();
    case TokenType::sign: {
      if (at_sign("[") || at_sign("{")) return list_or_dict();
      if (!skip_sign("(")) return unexpected("an expression");
      COLLIE_TRY(const Expression* value, tuple(true, {}, true));
      COLLIE_TRY_VOID(expect_sign(")"));
      return value;
    }
    case TokenType::name:
      break;
    default:
      return unexpected("an expression");
  }
  Expression& node = make(Type::literal);
  node.text = take().text;
  if (node.text == "true" || node.text == "True") {
    node.literal = boolean_value(true);
  } else if (node.text == "false" || node.text == "False") {
    node.literal = boolean_value(false);
  } else if (node.text == "none" || node.text == "None") {
    node.literal = none_value();
  } else {
    node.type = Type::name;
    uses_.varargs |= node.text == "varargs";
    uses_.kwargs |= node.text == "kwargs";
    uses_.caller |= node.text == "caller";
  }
  return &node;
}

Result<const Expression*> Parser::literal_string() {
  Expression& node = make(Type::literal);
  while (current().type == TokenType::string) node.text += take().text;
  node.literal = text_value(node.text);
  return &node;
}

Result<const Expression*> Parser::literal_number() {
  Expression& node = make(Type::literal);
  std::string digits = current().text;
  std::erase(digits, '_');
  if (current().type == TokenType::floating) {
    node.literal = number_value(std::strtod(digits.c_str(), nullptr));
    take();
    return &node;
  }
  const bool prefixed = digits.size() > 2 && digits[0] == '0' && digits[1] > '9';
  const char letter = prefixed ? static_cast<char>(digits[1] | 0x20) : 'd';
  const int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
  std::int64_t value = 0;
  const char* first = digits.data() + (prefixed ? 2 : 0);
  const auto parsed = std::from_chars(first, digits.data() + digits.size(), value, base);
  if (parsed.ec != std::errc()) {
    return error(ErrorCode::unsupported, "an integer beyond 64 bits is not supported");
  }
  node.literal = integer_value(value);
  take();
  return &node;
}

Result<const Expression*> Parser::list_or_dict() {
  const bool is_dict = at_sign("{");
  const std::string_view end = is_dict ? "}" : "]";
  Expression& node = make(is_dict ? Type::dict : Type::list);
  take();
  while (!at_sign(end)) {
    if (!node.operands.empty()) COLLIE_TRY_VOID(expect_sign(","));
    if (at_sign(end)) break;
    COLLIE_TRY(const Expression* item, expression());
    node.operands.push_back(item);
    if (!is_dict) continue;
    COLLIE_TRY_VOID(expect_sign(":"));
    COLLIE_TRY(const Expression* value, expression());
    node.operands.push_back(value);
  }
  COLLIE_TRY_VOID(expect_sign(end));
  return &node;
}

}  // namespace collie::chat
