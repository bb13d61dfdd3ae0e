// Reading the arguments of filters, tests, methods and functions.
#pragma once

#include <optional>
#include <string_view>

#include "models/tokenizer/chat_template/evaluator.hpp"

namespace collie::chat {

// Each fails with a message that names what and the argument where its type is wrong.
Result<std::string_view> text_argument(const Evaluator& evaluator, std::string_view what,
                                       const Arguments& arguments, std::size_t place,
                                       std::string_view name, std::string_view otherwise);
// None and a missing argument are nullopt.
Result<std::optional<std::string_view>> optional_text(const Evaluator& evaluator,
                                                      std::string_view what,
                                                      const Arguments& arguments, std::size_t place,
                                                      std::string_view name);
Result<std::int64_t> integer_argument(const Evaluator& evaluator, std::string_view what,
                                      const Arguments& arguments, std::size_t place,
                                      std::string_view name, std::int64_t otherwise);
bool flag_argument(const Arguments& arguments, std::size_t place, std::string_view name,
                   bool otherwise);

// jinja2's attribute paths: "a.b.0", or an integer. None: the value itself.
Result<Value> item_at_path(Evaluator& evaluator, Value value, const Value& path,
                           const Value* otherwise = nullptr);

}  // namespace collie::chat
