// Calls: macros and whatever else can be called, filters, tests.
#include <algorithm>
#include <array>

#include "models/tokenizer/chat_template/evaluator.hpp"
#include "models/tokenizer/utf8.hpp"

namespace collie::chat {

std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text.substr(0, 300)) {
    line.push_back(static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c);
  }
  line.resize(line.size() - tok::incomplete_suffix_bytes(line));
  return line;
}

Error Evaluator::located(ErrorCode code, std::string_view message) const {
  return make_error(code, "{}:{}: {}", name_, line_, message);
}

const Value* Arguments::find(std::size_t place, std::string_view name) const {
  if (place < positional.size()) return &positional[place];
  for (const auto& [known, value] : named) {
    if (known == name) return &value;
  }
  return nullptr;
}

Status Evaluator::check(std::string_view what, const Arguments& arguments,
                        std::initializer_list<std::string_view> names) const {
  if (arguments.positional.size() > names.size()) {
    return error("{} takes at most {} arguments, got {}", what, names.size(),
                 arguments.positional.size());
  }
  for (const auto& [name, value] : arguments.named) {
    const auto place = std::find(names.begin(), names.end(), name);
    if (place == names.end()) {
      return error("{} has no argument '{}'", what, one_line(name));
    }
    if (static_cast<std::size_t>(place - names.begin()) < arguments.positional.size()) {
      return error("{} got two values for '{}'", what, one_line(name));
    }
  }
  return ok_status();
}

Result<Value> Evaluator::call(const Value& callee, const Arguments& arguments) {
  if (callee.is(Kind::macro)) return call_macro(*callee.macro, arguments);
  if (callee.is(Kind::function)) return call_function(*this, callee.text, arguments);
  if (callee.is(Kind::method)) {
    const Value& self = callee.method->self;
    const std::string_view name = callee.method->name;
    if (self.is_text()) return call_text_method(*this, self, name, arguments);
    if (self.is(Kind::dict)) return call_dict_method(*this, self, name, arguments);
    if (self.is(Kind::loop)) return call_loop_method(*this, *self.loop, name, arguments);
    return call_sequence_method(*this, self, name, arguments);
  }
  if (callee.is_undefined()) return error("'{}' is undefined", one_line(callee.text));
  return error("'{}' object is not callable", type_name(callee));
}

Value Evaluator::make_macro(const Statement& node) {
  for (Scope* scope = scope_; scope != nullptr; scope = scope->parent) scope->captured = true;
  heap_.charge(sizeof(Macro));
  Value value;
  value.kind = Kind::macro;
  value.macro = &macros_.emplace_back(Macro{&node, scope_});
  return value;
}

Status Evaluator::bind(const Macro& macro, const Arguments& arguments, Scope& scope) {
  const auto& parameters = macro.statement->parameters;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& parameter = parameters[i];
    if (const Value* given = arguments.find(i, parameter.name)) {
      scope.put(parameter.name, *given);
    } else if (parameter.otherwise != nullptr) {
      COLLIE_TRY(const Value value, evaluate(parameter.otherwise));
      scope.put(parameter.name, value);
    } else {
      scope.put(parameter.name, undefined_value(parameter.name));
    }
  }
  return bind_rest(macro, arguments, scope);
}

// Arguments without a parameter: caller, varargs and kwargs, where the macro reads those.
Status Evaluator::bind_rest(const Macro& macro, const Arguments& arguments, Scope& scope) {
  const Statement& node = *macro.statement;
  const auto& parameters = node.parameters;
  Dict rest;
  if (node.uses_caller) scope.put("caller", undefined_value("caller"));
  for (const auto& [name, value] : arguments.named) {
    const auto known = std::find_if(
        parameters.begin(), parameters.end(),
        [&, wanted = name](const Parameter& parameter) { return parameter.name == wanted; });
    if (known != parameters.end()) {
      if (static_cast<std::size_t>(known - parameters.begin()) < arguments.positional.size()) {
        return error("macro '{}' got two values for '{}'", node.text, one_line(name));
      }
    } else if (name == "caller" && node.uses_caller) {
      scope.put("caller", value);
    } else if (node.uses_kwargs) {
      rest.put(text_value(name), value);
    } else {
      return error("macro '{}' takes no keyword argument '{}'", node.text, one_line(name));
    }
  }
  if (node.uses_kwargs) scope.put("kwargs", heap_.dict(std::move(rest)));
  const std::size_t count = std::min(arguments.positional.size(), parameters.size());
  if (node.uses_varargs) {
    const auto first = arguments.positional.begin() + static_cast<std::ptrdiff_t>(count);
    scope.put("varargs", heap_.list({first, arguments.positional.end()}, Flavor::tuple));
  } else if (arguments.positional.size() > count) {
    return error("macro '{}' takes not more than {} argument(s)", node.text, parameters.size());
  }
  return ok_status();
}

Result<Value> Evaluator::call_macro(const Macro& macro, const Arguments& arguments) {
  Scope& scope = scopes_.emplace_back();
  heap_.charge(sizeof(Scope));
  scope.parent = macro.scope;
  Scope* const outside = std::exchange(scope_, &scope);
  COLLIE_TRY_VOID(bind(macro, arguments, scope));
  COLLIE_TRY(std::string text, written(macro.statement->bodies[0], scope));
  scope_ = outside;
  return heap_.own(std::move(text));
}

Status Evaluator::call_block(const Statement& node) {
  const Expression& call_node = *node.values[0];
  COLLIE_TRY(const Value callee, evaluate(call_node.operands[0]));
  COLLIE_TRY(Arguments arguments, arguments_of(call_node));
  arguments.named.emplace_back("caller", make_macro(node));
  COLLIE_TRY(const Value result, call(callee, arguments));
  COLLIE_TRY(const std::string_view text, text_of(result));
  return write(text);
}

FilterFunction find_filter(std::string_view name) {
  for (const auto find :
       {find_text_filter, find_sequence_filter, find_selecting_filter, find_sorting_filter}) {
    if (const FilterFunction function = find(name)) return function;
  }
  return nullptr;
}

Result<Value> Evaluator::filter(std::string_view name, const Value& input,
                                const Arguments& arguments) {
  const FilterFunction function = find_filter(name);
  if (function != nullptr) return function(*this, input, arguments);
  static constexpr std::array<std::string_view, 16> missing = {
      "batch",  "e",         "escape",   "filesizeformat", "forceescape", "format",
      "pprint", "random",    "slice",    "striptags",      "truncate",    "urlencode",
      "urlize", "wordcount", "wordwrap", "xmlattr"};
  if (std::find(missing.begin(), missing.end(), name) != missing.end()) {
    return unsupported(fmt::format("the filter '{}'", name));
  }
  return error("no filter named '{}'", one_line(name));
}

Result<bool> Evaluator::test(std::string_view name, const Value& value,
                             const Arguments& arguments) {
  const TestFunction function = find_test(name);
  if (function == nullptr) return error("no test named '{}'", one_line(name));
  return function(*this, value, arguments);
}

}  // namespace collie::chat
