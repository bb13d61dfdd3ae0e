// What may stand behind "is".
#include <algorithm>
#include <array>

#include "models/tokenizer/chat_template/arguments.hpp"
#include "models/tokenizer/chat_template/text.hpp"

namespace collie::chat {
namespace {

// Questions about the value alone.
template <bool (*holds)(const Value&)>
Result<bool> question(Evaluator& evaluator, const Value& value, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("the test", arguments, {}));
  return holds(value);
}

bool is_defined(const Value& value) {
  return !value.is_undefined();
}
bool is_undefined(const Value& value) {
  return value.is_undefined();
}
bool is_none(const Value& value) {
  return value.is(Kind::none);
}
bool is_boolean(const Value& value) {
  return value.is(Kind::boolean);
}
bool is_true(const Value& value) {
  return value.is(Kind::boolean) && value.boolean;
}
bool is_false(const Value& value) {
  return value.is(Kind::boolean) && !value.boolean;
}
bool is_integer(const Value& value) {
  return value.is(Kind::integer);
}
bool is_float(const Value& value) {
  return value.is(Kind::number);
}
bool is_number(const Value& value) {
  return value.is_numeric();
}
bool is_string(const Value& value) {
  return value.is_text();
}
bool is_mapping(const Value& value) {
  return value.is(Kind::dict);
}
bool is_lower(const Value& value) {
  return value.is_text() && is_cased(value.text, false);
}
bool is_upper(const Value& value) {
  return value.is_text() && is_cased(value.text, true);
}
bool is_callable(const Value& value) {
  // jinja2's undefined and loop have __call__.
  return value.is_undefined() || value.kind >= Kind::macro;
}
bool is_iterable(const Value& value) {
  return value.is_undefined() || value.is_text() || value.is(Kind::dict) ||
         value.is(Kind::sequence) || value.is(Kind::loop);
}
bool is_sequence(const Value& value) {
  if (value.is(Kind::sequence)) return value.sequence->flavor <= Flavor::group;
  return value.is_undefined() || value.is_text() || value.is(Kind::dict);
}
bool is_escaped(const Value& value) {
  return value.safe;
}

template <int remainder>
Result<bool> parity(Evaluator& evaluator, const Value& value, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("odd and even", arguments, {}));
  COLLIE_TRY(const Value rest, evaluator.binary("%", value, integer_value(2)));
  return rest.is_numeric() && rest.as_number() == remainder;
}

Result<bool> divisible(Evaluator& evaluator, const Value& value, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("divisibleby", arguments, {"num"}));
  const Value* by = arguments.find(0, "num");
  if (by == nullptr) return evaluator.error("divisibleby needs a number");
  COLLIE_TRY(const Value rest, evaluator.binary("%", value, *by));
  return rest.is_numeric() && rest.as_number() == 0.0;
}

Result<const Value*> other(Evaluator& evaluator, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("the test", arguments, {"other"}));
  if (arguments.positional.empty()) return evaluator.error("the test needs a value");
  return &arguments.positional[0];
}

template <bool wanted>
Result<bool> equality(Evaluator& evaluator, const Value& value, const Arguments& arguments) {
  COLLIE_TRY(const Value* with, other(evaluator, arguments));
  return equal(evaluator.heap(), value, *with) == wanted;
}

enum class Order { below, at_most, above, at_least };

template <Order order>
Result<bool> ordering(Evaluator& evaluator, const Value& value, const Arguments& arguments) {
  static constexpr std::array<std::string_view, 4> signs = {"<", "<=", ">", ">="};
  COLLIE_TRY(const Value* with, other(evaluator, arguments));
  return evaluator.ordered(signs[static_cast<std::size_t>(order)], value, *with);
}

Result<bool> inside(Evaluator& evaluator, const Value& value, const Arguments& arguments) {
  COLLIE_TRY(const Value* container, other(evaluator, arguments));
  return evaluator.contains(*container, value);
}

// Identity of what has one; texts and numbers would depend on Python's caches.
Result<bool> same_as(Evaluator& evaluator, const Value& value, const Arguments& arguments) {
  COLLIE_TRY(const Value* with, other(evaluator, arguments));
  if (value.kind != with->kind) return false;
  if (value.is(Kind::none)) return true;
  if (value.is(Kind::boolean)) return value.boolean == with->boolean;
  if (value.kind < Kind::sequence) return evaluator.unsupported("sameas of texts and numbers");
  return value.macro == with->macro;
}

Result<bool> names_filter(Evaluator&, const Value& value, const Arguments&) {
  return value.is_text() && find_filter(value.text) != nullptr;
}

Result<bool> names_test(Evaluator&, const Value& value, const Arguments&) {
  return value.is_text() && find_test(value.text) != nullptr;
}

struct NamedTest {
  std::string_view name;
  TestFunction function;
};
constexpr std::array<NamedTest, 39> tests = {{{"defined", question<is_defined>},
                                              {"undefined", question<is_undefined>},
                                              {"none", question<is_none>},
                                              {"boolean", question<is_boolean>},
                                              {"true", question<is_true>},
                                              {"false", question<is_false>},
                                              {"integer", question<is_integer>},
                                              {"float", question<is_float>},
                                              {"number", question<is_number>},
                                              {"string", question<is_string>},
                                              {"mapping", question<is_mapping>},
                                              {"iterable", question<is_iterable>},
                                              {"sequence", question<is_sequence>},
                                              {"callable", question<is_callable>},
                                              {"lower", question<is_lower>},
                                              {"upper", question<is_upper>},
                                              {"escaped", question<is_escaped>},
                                              {"odd", parity<1>},
                                              {"even", parity<0>},
                                              {"divisibleby", divisible},
                                              {"sameas", same_as},
                                              {"in", inside},
                                              {"filter", names_filter},
                                              {"test", names_test},
                                              {"==", equality<true>},
                                              {"eq", equality<true>},
                                              {"equalto", equality<true>},
                                              {"!=", equality<false>},
                                              {"ne", equality<false>},
                                              {">", ordering<Order::above>},
                                              {"gt", ordering<Order::above>},
                                              {"greaterthan", ordering<Order::above>},
                                              {">=", ordering<Order::at_least>},
                                              {"ge", ordering<Order::at_least>},
                                              {"<", ordering<Order::below>},
                                              {"lt", ordering<Order::below>},
                                              {"lessthan", ordering<Order::below>},
                                              {"<=", ordering<Order::at_most>},
                                              {"le", ordering<Order::at_most>}}};

}  // namespace

TestFunction find_test(std::string_view name) {
  for (const NamedTest& entry : tests) {
    if (entry.name == name && !name.empty()) return entry.function;
  }
  return nullptr;
}

}  // namespace collie::chat
