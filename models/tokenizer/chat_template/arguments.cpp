#include "models/tokenizer/chat_template/arguments.hpp"

#include <charconv>

#include "models/tokenizer/chat_template/text.hpp"

namespace collie::chat {

Result<std::optional<std::string_view>> optional_text(const Evaluator& evaluator,
                                                      std::string_view what,
                                                      const Arguments& arguments, std::size_t place,
                                                      std::string_view name) {
  const Value* value = arguments.find(place, name);
  if (value == nullptr || value->is(Kind::none)) return std::optional<std::string_view>();
  if (!value->is_text()) {
    return evaluator.error("{}: '{}' must be a string, not {}", what, name, type_name(*value));
  }
  return std::optional(value->text);
}

Result<std::string_view> text_argument(const Evaluator& evaluator, std::string_view what,
                                       const Arguments& arguments, std::size_t place,
                                       std::string_view name, std::string_view otherwise) {
  COLLIE_TRY(const std::optional<std::string_view> text,
             optional_text(evaluator, what, arguments, place, name));
  return text.value_or(otherwise);
}

Result<std::int64_t> integer_argument(const Evaluator& evaluator, std::string_view what,
                                      const Arguments& arguments, std::size_t place,
                                      std::string_view name, std::int64_t otherwise) {
  const Value* value = arguments.find(place, name);
  if (value == nullptr) return otherwise;
  if (!value->is_integral()) {
    return evaluator.error("{}: '{}' must be an integer, not {}", what, name, type_name(*value));
  }
  return value->as_integer();
}

bool flag_argument(const Arguments& arguments, std::size_t place, std::string_view name,
                   bool otherwise) {
  const Value* value = arguments.find(place, name);
  return value == nullptr ? otherwise : truthy(*value);
}

Result<Value> item_at_path(Evaluator& evaluator, Value value, const Value& path,
                           const Value* otherwise) {
  if (path.is(Kind::none)) return value;
  const auto step = [&](const Value& key) -> Status {
    COLLIE_TRY(value, evaluator.item(value, key));
    if (otherwise != nullptr && value.is_undefined()) value = *otherwise;
    return ok_status();
  };
  if (!path.is_text()) {
    COLLIE_TRY_VOID(step(path));
    return value;
  }
  for (const std::string_view part : split(path.text, ".", -1)) {
    std::int64_t index = 0;
    const auto parsed = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool is_index =
        parsed.ec == std::errc() && parsed.ptr == part.data() + part.size() && part[0] != '-';
    COLLIE_TRY_VOID(step(is_index ? integer_value(index) : text_value(part)));
  }
  return value;
}

}  // namespace collie::chat
