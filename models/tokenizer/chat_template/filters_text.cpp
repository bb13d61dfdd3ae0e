// Filters of texts and numbers.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "models/tokenizer/chat_template/arguments.hpp"
#include "models/tokenizer/chat_template/print.hpp"
#include "models/tokenizer/chat_template/text.hpp"

namespace collie::chat {
namespace {

Result<Value> trim(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("trim", arguments, {"chars"}));
  COLLIE_TRY(const auto set, optional_text(evaluator, "trim", arguments, 0, "chars"));
  COLLIE_TRY(const std::string_view text, evaluator.text_of(input));
  return text_value(strip(text, set, Sides::both));
}

template <std::string (*change)(std::string_view)>
Result<Value> changed(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("the filter", arguments, {}));
  COLLIE_TRY(const std::string_view text, evaluator.text_of(input));
  return evaluator.heap().own(change(text));
}

// jinja2's title: a capital behind white space and - ( { [ <, small letters elsewhere.
std::string jinja_title(std::string_view text) {
  std::string made;
  std::size_t begin = 0;
  const auto flush = [&](std::size_t end) {
    const std::string_view word = text.substr(begin, end - begin);
    const std::size_t first = byte_of(word, 1);
    made.append(upper(word.substr(0, first))).append(lower(word.substr(first)));
  };
  for (std::size_t place = 0; place < text.size();) {
    const std::string_view point = text.substr(place, byte_of(text.substr(place), 1));
    const bool separates =
        leading_space(point) > 0 || std::string_view("-({[<").find(point) != std::string_view::npos;
    if (separates) {
      flush(place);
      made.append(point);
      begin = place + point.size();
    }
    place += point.size();
  }
  flush(text.size());
  return made;
}

Result<Value> string(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("string", arguments, {}));
  if (input.is_text()) return input;
  COLLIE_TRY(const std::string_view text, evaluator.text_of(input));
  return text_value(text);
}

Result<Value> safe(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("safe", arguments, {}));
  COLLIE_TRY(const std::string_view text, evaluator.text_of(input));
  Value value = text_value(text);
  value.safe = true;
  return value;
}

Result<Value> replaced(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("replace", arguments, {"old", "new", "count"}));
  const Value* old_value = arguments.find(0, "old");
  const Value* new_value = arguments.find(1, "new");
  if (old_value == nullptr || new_value == nullptr) {
    return evaluator.error("replace needs two strings");
  }
  COLLIE_TRY(const std::string_view text, evaluator.text_of(input));
  COLLIE_TRY(const std::string_view old, evaluator.text_of(*old_value));
  COLLIE_TRY(const std::string_view by, evaluator.text_of(*new_value));
  std::int64_t most = -1;
  const Value* count = arguments.find(2, "count");
  if (count != nullptr && !count->is(Kind::none)) {
    COLLIE_TRY(most, integer_argument(evaluator, "replace", arguments, 2, "count", -1));
  }
  Heap& heap = evaluator.heap();
  if (!heap.reserve(text.size() + count_of(text, old) * by.size())) return undefined_value();
  return heap.own(replace(text, old, by, most));
}

Result<Value> indent(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("indent", arguments, {"width", "first", "blank"}));
  if (!input.is_text()) return evaluator.error("indent needs a string, got {}", type_name(input));
  std::string prefix(4, ' ');
  if (const Value* width = arguments.find(0, "width"); width != nullptr && width->is_text()) {
    prefix = width->text;
  } else {
    COLLIE_TRY(const std::int64_t spaces,
               integer_argument(evaluator, "indent", arguments, 0, "width", 4));
    if (spaces > 1'000'000) return evaluator.error("indent: {} is too wide", spaces);
    prefix.assign(static_cast<std::size_t>(std::max<std::int64_t>(spaces, 0)), ' ');
  }
  const bool first = flag_argument(arguments, 1, "first", false);
  const bool blank = flag_argument(arguments, 2, "blank", false);
  const std::string text = std::string(input.text) + "\n";
  const std::vector<std::string_view> lines = split_lines(text, false);
  if (!evaluator.heap().reserve(text.size() + lines.size() * prefix.size())) {
    return undefined_value();
  }
  std::string made;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) made.push_back('\n');
    if (i == 0 ? first : blank || !lines[i].empty()) made.append(prefix);
    made.append(lines[i]);
  }
  return evaluator.heap().own(std::move(made));
}

Result<Value> center(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("center", arguments, {"width"}));
  COLLIE_TRY(const std::int64_t width,
             integer_argument(evaluator, "center", arguments, 0, "width", 80));
  COLLIE_TRY(const std::string_view text, evaluator.text_of(input));
  return call_text_method(evaluator, text_value(text), "center", {{integer_value(width)}, {}});
}

// What Python's float() takes: white space around, underscores between digits.
std::optional<double> parsed_number(std::string_view text) {
  std::string digits(strip(text, std::nullopt, Sides::both));
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (digits[i] != '_') continue;
    const auto digit = [&](std::size_t place) {
      return place < digits.size() && digits[place] >= '0' && digits[place] <= '9';
    };
    if (i == 0 || !digit(i - 1) || !digit(i + 1)) return std::nullopt;
  }
  std::erase(digits, '_');
  if (digits.empty() || digits.find_first_of("xXpP(") != digits.npos) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(digits.c_str(), &end);
  if (end != digits.c_str() + digits.size()) return std::nullopt;
  return value;
}

std::optional<std::int64_t> parsed_integer(std::string_view text) {
  text = strip(text, std::nullopt, Sides::both);
  if (text.starts_with('+')) text.remove_prefix(1);
  if (text.starts_with('+')) return std::nullopt;
  std::string digits(text);
  std::int64_t value = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size()) return std::nullopt;
  return value;
}

Result<Value> to_integer(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("int", arguments, {"default", "base"}));
  if (arguments.find(1, "base") != nullptr) return evaluator.unsupported("int with a base");
  const Value* otherwise = arguments.find(0, "default");
  const Value failed = otherwise == nullptr ? integer_value(0) : *otherwise;
  if (input.is_undefined()) return evaluator.error("'{}' is undefined", one_line(input.text));
  std::optional<double> number;
  if (input.is_integral()) return integer_value(input.as_integer());
  if (input.is(Kind::number)) number = input.number;
  if (input.is_text()) {
    if (const auto whole = parsed_integer(input.text)) return integer_value(*whole);
    number = parsed_number(input.text);
  }
  if (!number || !std::isfinite(*number)) return failed;
  if (std::abs(*number) >= 9.2e18) return evaluator.unsupported("an integer beyond 64 bits");
  return integer_value(static_cast<std::int64_t>(*number));
}

Result<Value> to_number(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("float", arguments, {"default"}));
  if (input.is_undefined()) return evaluator.error("'{}' is undefined", one_line(input.text));
  if (input.is_numeric()) return number_value(input.as_number());
  if (input.is_text()) {
    if (const auto number = parsed_number(input.text)) return number_value(*number);
  }
  const Value* otherwise = arguments.find(0, "default");
  return otherwise == nullptr ? number_value(0.0) : *otherwise;
}

Result<Value> absolute(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("abs", arguments, {}));
  if (input.is(Kind::number)) return number_value(std::abs(input.number));
  if (!input.is_integral() || input.as_integer() == INT64_MIN) {
    return evaluator.error("abs needs a number, got {}", type_name(input));
  }
  return integer_value(std::abs(input.as_integer()));
}

Result<Value> rounded(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("round", arguments, {"precision", "method"}));
  COLLIE_TRY(const std::int64_t precision,
             integer_argument(evaluator, "round", arguments, 0, "precision", 0));
  COLLIE_TRY(const std::string_view method,
             text_argument(evaluator, "round", arguments, 1, "method", "common"));
  if (!input.is_numeric()) {
    return evaluator.error("round needs a number, got {}", type_name(input));
  }
  if (precision < 0 || precision > 15) return evaluator.unsupported("this precision of round");
  if (method == "common") {
    if (input.is_integral()) return integer_value(input.as_integer());
    if (!std::isfinite(input.number)) return input;
    // As Python: the nearest decimal number of so many digits, ties of the exact value to even.
    return number_value(
        std::strtod(fmt::format("{:.{}f}", input.number, precision).c_str(), nullptr));
  }
  if (method != "ceil" && method != "floor") {
    return evaluator.error("round: the method must be common, ceil or floor");
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = input.as_number() * scale;
  return number_value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

Result<Value> json(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(
      evaluator.check("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  style.ascii = flag_argument(arguments, 0, "ensure_ascii", false);
  style.sorted = flag_argument(arguments, 3, "sort_keys", false);
  const Value* indentation = arguments.find(1, "indent");
  if (indentation != nullptr && indentation->is_text()) {
    style.indent = std::string(indentation->text);
  } else if (indentation != nullptr && !indentation->is(Kind::none)) {
    COLLIE_TRY(const std::int64_t width,
               integer_argument(evaluator, "tojson", arguments, 1, "indent", 0));
    if (width > 1000) return evaluator.error("tojson: an indent of {} is too wide", width);
    style.indent.emplace(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
  }
  if (style.indent) style.item_separator = ",";
  const Value* separators = arguments.find(2, "separators");
  if (separators != nullptr && !separators->is(Kind::none)) {
    COLLIE_TRY(const std::vector<Value> parts, evaluator.iterate(*separators));
    if (parts.size() != 2 || !parts[0].is_text() || !parts[1].is_text()) {
      return evaluator.error("tojson: separators must be two strings");
    }
    style.item_separator = parts[0].text;
    style.key_separator = parts[1].text;
  }
  std::optional<std::string> text = to_json(evaluator.heap(), input, style);
  if (!text) {
    return evaluator.error("tojson: a value of type {} is not JSON, or holds one that is not",
                           type_name(input));
  }
  return evaluator.heap().own(std::move(*text));
}

Result<Value> with_default(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("default", arguments, {"default_value", "boolean"}));
  const bool boolean = flag_argument(arguments, 1, "boolean", false);
  if (!input.is_undefined() && !(boolean && !truthy(input))) return input;
  const Value* otherwise = arguments.find(0, "default_value");
  return otherwise == nullptr ? text_value("") : *otherwise;
}

struct TextFilter {
  std::string_view name;
  FilterFunction function;
};
constexpr std::array<TextFilter, 17> text_filters = {{{"trim", trim},
                                                      {"upper", changed<upper>},
                                                      {"lower", changed<lower>},
                                                      {"capitalize", changed<capitalize>},
                                                      {"title", changed<jinja_title>},
                                                      {"string", string},
                                                      {"safe", safe},
                                                      {"replace", replaced},
                                                      {"indent", indent},
                                                      {"center", center},
                                                      {"int", to_integer},
                                                      {"float", to_number},
                                                      {"abs", absolute},
                                                      {"round", rounded},
                                                      {"tojson", json},
                                                      {"default", with_default},
                                                      {"d", with_default}}};

}  // namespace

FilterFunction find_text_filter(std::string_view name) {
  for (const TextFilter& entry : text_filters) {
    if (entry.name == name) return entry.function;
  }
  return nullptr;
}

}  // namespace collie::chat
