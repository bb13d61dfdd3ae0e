// Python's operators, attributes and items.
#include <algorithm>
#include <array>
#include <cmath>

#include "models/tokenizer/chat_template/evaluator.hpp"
#include "models/tokenizer/chat_template/print.hpp"
#include "models/tokenizer/chat_template/text.hpp"

namespace collie::chat {
namespace {

// value is read after the operation that wrote it.
Result<Value> integer_result(const Evaluator& evaluator, bool overflows,
                             const std::int64_t& value) {
  if (overflows) return evaluator.unsupported("an integer beyond 64 bits");
  return integer_value(value);
}

// Python rounds down and gives the remainder the divisor's sign.
Result<Value> divided(const Evaluator& evaluator, bool remainder, std::int64_t a, std::int64_t b) {
  if (b == -1) {
    std::int64_t negative = 0;
    if (remainder) return integer_value(0);
    return integer_result(evaluator, __builtin_sub_overflow(std::int64_t{0}, a, &negative),
                          negative);
  }
  const std::int64_t left = a % b;
  const bool off = left != 0 && (left < 0) != (b < 0);
  return integer_value(remainder ? left + (off ? b : 0) : a / b - (off ? 1 : 0));
}

Result<Value> raised(const Evaluator& evaluator, std::int64_t base, std::int64_t exponent) {
  std::int64_t result = 1;
  // Beyond 64 factors only 0, 1 and -1 stay small.
  if (base == 0 || base == 1) return integer_value(exponent == 0 ? 1 : base);
  if (base == -1) return integer_value(exponent % 2 == 0 ? 1 : -1);
  for (std::int64_t i = 0; i < exponent; ++i) {
    if (__builtin_mul_overflow(result, base, &result)) {
      return evaluator.unsupported("an integer beyond 64 bits");
    }
  }
  return integer_value(result);
}

Result<Value> integers(const Evaluator& evaluator, std::string_view sign, std::int64_t a,
                       std::int64_t b) {
  std::int64_t value = 0;
  if (sign == "+") return integer_result(evaluator, __builtin_add_overflow(a, b, &value), value);
  if (sign == "-") return integer_result(evaluator, __builtin_sub_overflow(a, b, &value), value);
  if (sign == "*") return integer_result(evaluator, __builtin_mul_overflow(a, b, &value), value);
  if (sign == "**") return raised(evaluator, a, b);
  return divided(evaluator, sign == "%", a, b);
}

Result<Value> numbers(const Evaluator& evaluator, std::string_view sign, double a, double b) {
  if (sign == "+") return number_value(a + b);
  if (sign == "-") return number_value(a - b);
  if (sign == "*") return number_value(a * b);
  if (sign == "/") return number_value(a / b);
  if (sign == "**") {
    if (a < 0 && b != std::floor(b)) return evaluator.unsupported("a complex number");
    const double value = std::pow(a, b);
    if (std::isinf(value) && !std::isinf(a) && !std::isinf(b)) {
      return evaluator.error("numerical result out of range");
    }
    return number_value(value);
  }
  double left = std::fmod(a, b);
  if (left != 0.0 && (left < 0.0) != (b < 0.0)) left += b;
  if (sign == "%") return number_value(left == 0.0 ? std::copysign(0.0, b) : left);
  const double quotient = (a - left) / b;
  double rounded = std::floor(quotient);
  if (quotient - rounded > 0.5) rounded += 1.0;
  return number_value(quotient == 0.0 ? std::copysign(0.0, a / b) : rounded);
}

Result<Value> repeated(Evaluator& evaluator, const Value& value, std::int64_t times) {
  const auto count = static_cast<std::size_t>(std::max<std::int64_t>(times, 0));
  Heap& heap = evaluator.heap();
  const bool is_text = value.is_text();
  const std::size_t size =
      is_text ? value.text.size() : value.sequence->items.size() * sizeof(Value);
  if (size > 0 && (count > (std::size_t{1} << 40) / size || !heap.reserve(size * count))) {
    heap.reserve(SIZE_MAX);
    return undefined_value();
  }
  if (is_text) {
    std::string text;
    for (std::size_t i = 0; size > 0 && i < count; ++i) text.append(value.text);
    return heap.own(std::move(text));
  }
  std::vector<Value> items;
  const std::vector<Value>& source = value.sequence->items;
  for (std::size_t i = 0; size > 0 && i < count; ++i) {
    items.insert(items.end(), source.begin(), source.end());
  }
  return heap.list(std::move(items), value.sequence->flavor);
}

bool is_plain_sequence(const Value& value) {
  return value.is(Kind::sequence) && value.sequence->flavor <= Flavor::tuple &&
         !value.sequence->is_range;
}

Result<Value> added(Evaluator& evaluator, const Value& left, const Value& right) {
  if (left.is_text() && right.is_text()) {
    if (left.safe || right.safe)
      return evaluator.unsupported("+ with a text that went through |safe");
    if (!evaluator.heap().reserve(left.text.size() + right.text.size())) return undefined_value();
    return evaluator.heap().own(std::string(left.text).append(right.text));
  }
  std::vector<Value> items = left.sequence->items;
  items.insert(items.end(), right.sequence->items.begin(), right.sequence->items.end());
  return evaluator.heap().list(std::move(items), left.sequence->flavor);
}

}  // namespace

Result<Value> Evaluator::binary(std::string_view sign, const Value& left, const Value& right) {
  for (const Value* side : {&left, &right}) {
    if (side->is_undefined()) return error("'{}' is undefined", one_line(side->text));
  }
  if (left.is_numeric() && right.is_numeric()) {
    const bool divides = sign == "/" || sign == "//" || sign == "%";
    if (divides && right.as_number() == 0.0) return error("division by zero");
    const bool whole = left.is_integral() && right.is_integral() && sign != "/" &&
                       !(sign == "**" && right.as_integer() < 0);
    if (whole) return integers(*this, sign, left.as_integer(), right.as_integer());
    if (sign == "**" && left.as_number() == 0.0 && right.as_number() < 0.0) {
      return error("0.0 cannot be raised to a negative power");
    }
    return numbers(*this, sign, left.as_number(), right.as_number());
  }
  const bool both_texts = left.is_text() && right.is_text();
  const bool both_sequences = is_plain_sequence(left) && is_plain_sequence(right) &&
                              left.sequence->flavor == right.sequence->flavor;
  if (sign == "+" && (both_texts || both_sequences)) return added(*this, left, right);
  if (sign == "*") {
    const auto repeats = [](const Value& value) {
      return value.is_text() || is_plain_sequence(value);
    };
    if (repeats(left) && right.is_integral()) return repeated(*this, left, right.as_integer());
    if (repeats(right) && left.is_integral()) return repeated(*this, right, left.as_integer());
  }
  if (sign == "%" && left.is_text()) return unsupported("% on a string");
  return error("unsupported operand type(s) for {}: '{}' and '{}'", sign, type_name(left),
               type_name(right));
}

Result<bool> Evaluator::ordered(std::string_view sign, const Value& left, const Value& right) {
  for (const Value* side : {&left, &right}) {
    if (side->is_undefined()) return error("'{}' is undefined", one_line(side->text));
  }
  if (!comparable(left, right)) {
    if (is_plain_sequence(left) && is_plain_sequence(right)) return unsupported("order of lists");
    return error("'{}' not supported between instances of '{}' and '{}'", sign, type_name(left),
                 type_name(right));
  }
  const int order = chat::compare(left, right);
  if (sign == "<") return order < 0;
  if (sign == "<=") return order <= 0;
  return sign == ">" ? order > 0 : order >= 0;
}

Result<bool> Evaluator::contains(const Value& container, const Value& value) {
  if (container.is_undefined()) return false;
  if (container.is_text()) {
    if (!value.is_text()) {
      return error("'in <string>' requires string as left operand, not {}", type_name(value));
    }
    heap_.charge(container.text.size());
    return container.text.find(value.text) != container.text.npos;
  }
  if (container.is(Kind::dict)) {
    if (!hashable(value)) return error("unhashable type: '{}'", type_name(value));
    return container.dict->find(value) != nullptr;
  }
  if (!container.is(Kind::sequence)) {
    return error("argument of type '{}' is not iterable", type_name(container));
  }
  COLLIE_TRY(const std::vector<Value> items, iterate(container));
  return std::any_of(items.begin(), items.end(),
                     [&](const Value& known) { return equal(heap_, known, value); });
}

Result<std::vector<Value>> Evaluator::iterate(const Value& value) {
  std::vector<Value> items;
  if (value.is_undefined()) return items;
  if (value.is_text()) {
    heap_.charge(value.text.size() * sizeof(Value));
    for (const std::string_view point : code_points(value.text)) items.push_back(text_value(point));
    return items;
  }
  if (value.is(Kind::dict)) {
    for (const auto& [key, item] : value.dict->items) items.push_back(key);
  } else if (value.is(Kind::sequence)) {
    Sequence& sequence = *value.sequence;
    items.assign(sequence.items.begin() + static_cast<std::ptrdiff_t>(sequence.position),
                 sequence.items.end());
    if (sequence.flavor == Flavor::generator) sequence.position = sequence.items.size();
  } else {
    return error("'{}' object is not iterable", type_name(value));
  }
  heap_.charge(items.size() * sizeof(Value));
  return items;
}

Result<std::string_view> Evaluator::text_of(const Value& value) {
  if (value.is_text()) return value.text;
  std::optional<std::string> text = to_text(heap_, value);
  if (!text) return unsupported(fmt::format("printing a value of type '{}'", type_name(value)));
  return heap_.own(std::move(*text)).text;
}

}  // namespace collie::chat
