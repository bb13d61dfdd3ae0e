// Values as text: str(), repr() and json.dumps() of Python.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "models/tokenizer/chat_template/value.hpp"

namespace collie::chat {

// nullopt for what Python prints with an address (macros, methods, generators).
std::optional<std::string> to_text(Heap& heap, const Value& value);  // str()
std::optional<std::string> to_repr(Heap& heap, const Value& value);

struct JsonStyle {
  bool ascii = false;
  bool sorted = false;
  std::optional<std::string> indent;  // of one level; nullopt: one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
// nullopt for what JSON cannot hold (undefined, macros, ...).
std::optional<std::string> to_json(Heap& heap, const Value& value, const JsonStyle& style);

std::string number_text(double number);  // repr() of a float

}  // namespace collie::chat
