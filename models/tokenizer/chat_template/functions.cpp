// Global functions, and methods of dict, list and loop.
#include <algorithm>
#include <array>
#include <ctime>

#include "models/tokenizer/chat_template/arguments.hpp"
#include "runtime/limits.hpp"

namespace collie::chat {
namespace {

Result<Value> range(Evaluator& evaluator, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("range", arguments, {"start", "stop", "step"}));
  if (arguments.positional.empty()) return evaluator.error("range needs an argument");
  std::int64_t parts[3] = {0, 0, 1};
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) {
    COLLIE_TRY(parts[i], integer_argument(evaluator, "range", arguments, i, "", 0));
  }
  if (arguments.positional.size() == 1) std::swap(parts[0], parts[1]);
  const auto [start, stop, step] = parts;
  if (step == 0) return evaluator.error("range: the step must not be zero");
  std::vector<Value> items;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<std::int64_t>(items.size()) == limits::chat_template_range_max) {
      return evaluator.error("range: more than {} numbers", limits::chat_template_range_max);
    }
    items.push_back(integer_value(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  const Value made = evaluator.heap().list(std::move(items));
  made.sequence->is_range = true;
  return made;
}

// dict(pairs or mapping, name=value, ...).
Result<Dict> make_dict(Evaluator& evaluator, const Arguments& arguments) {
  Dict made;
  if (arguments.positional.size() > 1) return evaluator.error("dict takes at most one argument");
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.is(Kind::dict)) {
      made = *source.dict;
    } else {
      COLLIE_TRY(const std::vector<Value> pairs, evaluator.iterate(source));
      for (const Value& pair : pairs) {
        COLLIE_TRY(const std::vector<Value> parts, evaluator.iterate(pair));
        if (parts.size() != 2 || !hashable(parts[0])) {
          return evaluator.error("dict needs pairs of a key and a value");
        }
        evaluator.heap().charge(parts[0].is_text() ? 0 : made.items.size());
        made.put(parts[0], parts[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named) made.put(text_value(name), value);
  return made;
}

Result<Value> name_space(Evaluator& evaluator, const Arguments& arguments) {
  COLLIE_TRY(const Dict dict, make_dict(evaluator, arguments));
  Namespace made;
  for (const auto& [key, value] : dict.items) {
    if (!key.is_text() || key.text.starts_with('_')) {
      return evaluator.error("a namespace's names are strings that do not begin with _");
    }
    made.attributes.emplace_back(key.text, value);
  }
  return evaluator.heap().name_space(std::move(made));
}

Result<Value> raise_exception(Evaluator& evaluator, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("raise_exception", arguments, {"message"}));
  const Value* message = arguments.find(0, "message");
  if (message == nullptr) return evaluator.error("raise_exception needs a message");
  COLLIE_TRY(const std::string_view text, evaluator.text_of(*message));
  return evaluator.error("the template refuses these messages: {}", one_line(text));
}

Result<Value> strftime_now(Evaluator& evaluator, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("strftime_now", arguments, {"format"}));
  COLLIE_TRY(const auto format, optional_text(evaluator, "strftime_now", arguments, 0, "format"));
  if (!format || format->size() > 256) return evaluator.error("strftime_now needs a short format");
  const std::time_t seconds = evaluator.now_s();
  std::tm parts{};
  localtime_r(&seconds, &parts);
  char text[4096];
  const std::string pattern(*format);
  return evaluator.heap().own(
      std::string(text, std::strftime(text, sizeof(text), pattern.c_str(), &parts)));
}

constexpr std::array<std::string_view, 5> functions = {"range", "dict", "namespace",
                                                       "raise_exception", "strftime_now"};

}  // namespace

bool is_global_function(std::string_view name) {
  return std::find(functions.begin(), functions.end(), name) != functions.end();
}

Result<Value> call_function(Evaluator& evaluator, std::string_view name,
                            const Arguments& arguments) {
  if (name == "range") return range(evaluator, arguments);
  if (name == "namespace") return name_space(evaluator, arguments);
  if (name == "raise_exception") return raise_exception(evaluator, arguments);
  if (name == "strftime_now") return strftime_now(evaluator, arguments);
  COLLIE_TRY(Dict made, make_dict(evaluator, arguments));
  return evaluator.heap().dict(std::move(made));
}

bool is_dict_method(std::string_view name) {
  return name == "items" || name == "keys" || name == "values" || name == "get" || name == "copy";
}

Result<Value> call_dict_method(Evaluator& evaluator, const Value& self, std::string_view name,
                               const Arguments& arguments) {
  const Dict& dict = *self.dict;
  if (name == "get") {
    COLLIE_TRY_VOID(evaluator.check("get", arguments, {"key", "default"}));
    if (arguments.positional.empty()) return evaluator.error("get needs a key");
    if (!hashable(arguments.positional[0])) {
      return evaluator.error("unhashable type: '{}'", type_name(arguments.positional[0]));
    }
    if (const Value* value = dict.find(arguments.positional[0])) return *value;
    const Value* otherwise = arguments.find(1, "");
    return otherwise == nullptr ? none_value() : *otherwise;
  }
  COLLIE_TRY_VOID(evaluator.check(name, arguments, {}));
  if (name == "copy") return self;
  std::vector<Value> items;
  for (const auto& [key, value] : dict.items) {
    if (name == "items") {
      items.push_back(evaluator.heap().list({key, value}, Flavor::tuple));
    } else {
      items.push_back(name == "keys" ? key : value);
    }
  }
  const Flavor flavor = name == "items"  ? Flavor::items
                        : name == "keys" ? Flavor::keys
                                         : Flavor::values;
  return evaluator.heap().list(std::move(items), flavor);
}

// index and count.
Result<Value> call_sequence_method(Evaluator& evaluator, const Value& self, std::string_view name,
                                   const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check(name, arguments, {"value"}));
  if (arguments.positional.empty()) return evaluator.error("{} needs a value", name);
  std::int64_t count = 0;
  const std::vector<Value>& items = self.sequence->items;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!equal(evaluator.heap(), items[i], arguments.positional[0])) continue;
    if (name == "index") return integer_value(static_cast<std::int64_t>(i));
    ++count;
  }
  if (name == "index") return evaluator.error("index: the value is not in the list");
  return integer_value(count);
}

Result<Value> call_loop_method(Evaluator& evaluator, Loop& loop, std::string_view name,
                               const Arguments& arguments) {
  if (!arguments.named.empty()) return evaluator.error("loop.{} takes no names", name);
  const std::vector<Value>& values = arguments.positional;
  if (name == "cycle") {
    if (values.empty()) return evaluator.error("loop.cycle needs values");
    return values[loop.index % values.size()];
  }
  const bool same =
      loop.was_changed &&
      std::equal(values.begin(), values.end(), loop.last_changed.begin(), loop.last_changed.end(),
                 [&](const Value& a, const Value& b) { return equal(evaluator.heap(), a, b); });
  loop.was_changed = true;
  loop.last_changed = values;
  return boolean_value(!same);
}

}  // namespace collie::chat
