#include <algorithm>

#include "models/tokenizer/chat_template/evaluator.hpp"
#include "models/tokenizer/chat_template/text.hpp"

namespace collie::chat {

using Type = Expression::Type;

Result<Value> Evaluator::evaluate(const Expression* node) {
  const Depth depth(depth_);
  heap_.charge(0);
  line_ = node->line;
  COLLIE_TRY_VOID(check_depth());
  Result<Value> value = evaluate_node(*node);
  if (value.ok()) COLLIE_TRY_VOID(check_work());
  return value;
}

Result<Value> Evaluator::evaluate_node(const Expression& node) {
  switch (node.type) {
    case Type::literal:
      return node.literal;
    case Type::name:
      return name(node);
    case Type::list:
    case Type::tuple: {
      COLLIE_TRY(std::vector<Value> items, all(node.operands));
      return heap_.list(std::move(items), node.type == Type::list ? Flavor::list : Flavor::tuple);
    }
    case Type::dict:
      return dict(node);
    case Type::attribute: {
      COLLIE_TRY(const Value object, evaluate(node.operands[0]));
      line_ = node.line;
      return attribute(object, node.text);
    }
    case Type::subscript:
      return subscript(node);
    case Type::slice:
      return unsupported("a slice among other indices");
    case Type::call: {
      COLLIE_TRY(const Value callee, evaluate(node.operands[0]));
      COLLIE_TRY(const Arguments arguments, arguments_of(node));
      line_ = node.line;
      return call(callee, arguments);
    }
    case Type::filter: {
      COLLIE_TRY(const Value input, evaluate(node.operands[0]));
      COLLIE_TRY(const Arguments arguments, arguments_of(node));
      line_ = node.line;
      return filter(node.text, input, arguments);
    }
    case Type::test: {
      COLLIE_TRY(const Value input, evaluate(node.operands[0]));
      COLLIE_TRY(const Arguments arguments, arguments_of(node));
      line_ = node.line;
      COLLIE_TRY(const bool holds, test(node.text, input, arguments));
      return boolean_value(holds);
    }
    case Type::unary:
      return unary(node);
    case Type::binary: {
      COLLIE_TRY(const Value left, evaluate(node.operands[0]));
      COLLIE_TRY(const Value right, evaluate(node.operands[1]));
      line_ = node.line;
      return binary(node.text, left, right);
    }
    case Type::compare:
      return compare(node);
    case Type::concatenate:
      return concatenate(node);
    case Type::both:
    case Type::either: {
      COLLIE_TRY(const Value left, evaluate(node.operands[0]));
      if (truthy(left) == (node.type == Type::either)) return left;
      return evaluate(node.operands[1]);
    }
    case Type::conditional: {
      COLLIE_TRY(const Value decision, evaluate(node.operands[0]));
      if (truthy(decision)) return evaluate(node.operands[1]);
      if (node.operands[2] == nullptr) return undefined_value("the value of an if without else");
      return evaluate(node.operands[2]);
    }
  }
  return undefined_value();
}

Result<Value> Evaluator::name(const Expression& node) {
  if (const Value* value = scope_->find(node.text)) return *value;
  if (is_global_function(node.text)) {
    Value value;
    value.kind = Kind::function;
    value.text = node.text;
    return value;
  }
  return undefined_value(node.text);
}

Result<std::vector<Value>> Evaluator::all(const std::vector<const Expression*>& nodes) {
  std::vector<Value> values;
  values.reserve(nodes.size());
  for (const Expression* node : nodes) {
    COLLIE_TRY(const Value value, evaluate(node));
    values.push_back(value);
  }
  return values;
}

Result<Value> Evaluator::dict(const Expression& node) {
  Dict made;
  for (std::size_t i = 0; i + 1 < node.operands.size(); i += 2) {
    COLLIE_TRY(const Value key, evaluate(node.operands[i]));
    COLLIE_TRY(const Value value, evaluate(node.operands[i + 1]));
    if (!hashable(key)) return error("unhashable type: '{}'", type_name(key));
    made.put(key, value);
  }
  return heap_.dict(std::move(made));
}

Result<Value> Evaluator::unary(const Expression& node) {
  COLLIE_TRY(const Value value, evaluate(node.operands[0]));
  if (node.text == "not") return boolean_value(!truthy(value));
  if (value.is_undefined()) return error("'{}' is undefined", one_line(value.text));
  if (!value.is_numeric()) {
    return error("bad operand type for unary {}: '{}'", node.text, type_name(value));
  }
  const bool negate = node.text == "-";
  if (value.is(Kind::number)) return number_value(negate ? -value.number : value.number);
  if (negate && value.as_integer() == INT64_MIN) return unsupported("an integer beyond 64 bits");
  return integer_value(negate ? -value.as_integer() : value.as_integer());
}

Result<Value> Evaluator::compare(const Expression& node) {
  COLLIE_TRY(Value left, evaluate(node.operands[0]));
  for (std::size_t i = 0; i < node.operators.size(); ++i) {
    COLLIE_TRY(const Value right, evaluate(node.operands[i + 1]));
    line_ = node.line;
    const std::string& sign = node.operators[i];
    bool holds = false;
    if (sign == "==" || sign == "!=") {
      holds = equal(heap_, left, right) == (sign == "==");
    } else if (sign == "in" || sign == "not in") {
      COLLIE_TRY(const bool inside, contains(right, left));
      holds = inside == (sign == "in");
    } else {
      COLLIE_TRY(holds, ordered(sign, left, right));
    }
    if (!holds) return boolean_value(false);
    left = right;
  }
  return boolean_value(true);
}

Result<Value> Evaluator::concatenate(const Expression& node) {
  std::string joined;
  for (const Expression* operand : node.operands) {
    COLLIE_TRY(const Value value, evaluate(operand));
    COLLIE_TRY(const std::string_view text, text_of(value));
    if (!heap_.reserve(joined.size() + text.size())) break;
    joined.append(text);
  }
  return heap_.own(std::move(joined));
}

Result<Value> Evaluator::subscript(const Expression& node) {
  COLLIE_TRY(const Value object, evaluate(node.operands[0]));
  if (node.operands[1]->type == Type::slice) return slice(object, *node.operands[1]);
  COLLIE_TRY(const Value key, evaluate(node.operands[1]));
  line_ = node.line;
  return item(object, key);
}

namespace {

// Python's slice.indices(): first index, count and step.
struct Range {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

Range range_of(std::optional<std::int64_t> start, std::optional<std::int64_t> stop,
               std::int64_t step, std::int64_t length) {
  const std::int64_t low = step > 0 ? 0 : -1;
  const std::int64_t high = step > 0 ? length : length - 1;
  const auto place = [&](std::optional<std::int64_t> index, std::int64_t otherwise) {
    if (!index) return otherwise;
    if (*index < 0) return std::max(*index + length, low);
    return std::min(*index, high);
  };
  const std::int64_t first = place(start, step > 0 ? low : high);
  const std::int64_t end = place(stop, step > 0 ? high : low);
  if (step > 0) return {first, first < end ? (end - first - 1) / step + 1 : 0};
  return {first, end < first ? (first - end - 1) / -step + 1 : 0};
}

}  // namespace

Result<Value> Evaluator::slice(const Value& object, const Expression& node) {
  std::optional<std::int64_t> parts[3];
  for (std::size_t part = 0; part < 3; ++part) {
    if (node.operands[part] == nullptr) continue;
    COLLIE_TRY(const Value index, evaluate(node.operands[part]));
    if (index.is(Kind::none)) continue;
    if (!index.is_integral()) return error("slice indices must be integers or None");
    // Beyond any length all indices mean the same.
    constexpr std::int64_t far = std::int64_t{1} << 40;
    parts[part] = std::clamp(index.as_integer(), -far, far);
  }
  if (object.is_undefined()) return error("'{}' is undefined", one_line(object.text));
  const std::int64_t step = parts[2].value_or(1);
  if (step == 0) return error("slice step cannot be zero");
  if (object.is_text()) {
    const std::vector<std::string_view> points = code_points(object.text);
    heap_.charge(object.text.size());
    const Range range =
        range_of(parts[0], parts[1], step, static_cast<std::int64_t>(points.size()));
    std::string text;
    for (std::int64_t i = 0; i < range.count; ++i) {
      text.append(points[static_cast<std::size_t>(range.first + i * step)]);
    }
    return heap_.own(std::move(text));
  }
  if (!object.is(Kind::sequence) || object.sequence->flavor > Flavor::group) {
    return error("'{}' object is not subscriptable", type_name(object));
  }
  const std::vector<Value>& items = object.sequence->items;
  const Range range = range_of(parts[0], parts[1], step, static_cast<std::int64_t>(items.size()));
  std::vector<Value> made;
  for (std::int64_t i = 0; i < range.count; ++i) {
    made.push_back(items[static_cast<std::size_t>(range.first + i * step)]);
  }
  const bool is_list = object.sequence->flavor == Flavor::list;
  return heap_.list(std::move(made), is_list ? Flavor::list : Flavor::tuple);
}

Result<Arguments> Evaluator::arguments_of(const Expression& node) {
  Arguments arguments;
  COLLIE_TRY(arguments.positional, all(node.arguments));
  for (const auto& [name, value] : node.keywords) {
    COLLIE_TRY(const Value evaluated, evaluate(value));
    arguments.named.emplace_back(name, evaluated);
  }
  if (node.spread != nullptr) {
    COLLIE_TRY(const Value spread, evaluate(node.spread));
    COLLIE_TRY(const std::vector<Value> more, iterate(spread));
    arguments.positional.insert(arguments.positional.end(), more.begin(), more.end());
  }
  if (node.spread_named != nullptr) {
    COLLIE_TRY(const Value spread, evaluate(node.spread_named));
    if (!spread.is(Kind::dict)) return error("what follows ** must be a mapping");
    for (const auto& [key, value] : spread.dict->items) {
      if (!key.is_text()) return error("keywords must be strings");
      arguments.named.emplace_back(key.text, value);
    }
  }
  return arguments;
}

Result<Value> Evaluator::apply_filters(const Expression& node, const Value& input) {
  Value value = input;
  if (node.operands[0] != nullptr) {
    COLLIE_TRY(value, apply_filters(*node.operands[0], input));
  }
  COLLIE_TRY(const Arguments arguments, arguments_of(node));
  line_ = node.line;
  return filter(node.text, value, arguments);
}

}  // namespace collie::chat
