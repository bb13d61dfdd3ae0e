// object.name and object[key], as jinja2's sandbox resolves them: .name prefers a method, [key] an
// item.
#include <algorithm>
#include <array>

#include "models/tokenizer/chat_template/evaluator.hpp"
#include "models/tokenizer/chat_template/text.hpp"

namespace collie::chat {
namespace {

bool is_sequence_method(const Sequence& sequence, std::string_view name) {
  return sequence.flavor <= Flavor::group && (name == "index" || name == "count");
}

// What would change a list or dict: the sandbox refuses it.
bool changes(const Value& object, std::string_view name) {
  static constexpr std::array<std::string_view, 7> of_list = {"append", "clear", "pop",   "reverse",
                                                              "insert", "sort",  "extend"};
  static constexpr std::array<std::string_view, 5> of_dict = {"clear", "pop", "popitem",
                                                              "setdefault", "update"};
  if (object.is(Kind::dict))
    return std::find(of_dict.begin(), of_dict.end(), name) != of_dict.end();
  return object.is(Kind::sequence) && object.sequence->flavor == Flavor::list &&
         (std::find(of_list.begin(), of_list.end(), name) != of_list.end() || name == "remove");
}

}  // namespace

Value Evaluator::attribute_of_loop(Loop& loop, std::string_view name) {
  const auto index = static_cast<std::int64_t>(loop.index);
  if (loop.items == nullptr) return undefined_value("loop");
  const auto length = static_cast<std::int64_t>(loop.items->size());
  if (name == "index") return integer_value(index + 1);
  if (name == "index0") return integer_value(index);
  if (name == "first") return boolean_value(index == 0);
  if (name == "last") return boolean_value(index + 1 == length);
  if (name == "length") return integer_value(length);
  if (name == "revindex") return integer_value(length - index);
  if (name == "revindex0") return integer_value(length - index - 1);
  if (name == "depth") return integer_value(1);
  if (name == "depth0") return integer_value(0);
  if (name == "previtem") {
    return index == 0 ? undefined_value("there is no previous item")
                      : (*loop.items)[loop.index - 1];
  }
  if (name == "nextitem") {
    return index + 1 == length ? undefined_value("there is no next item")
                               : (*loop.items)[loop.index + 1];
  }
  return undefined_value(name);
}

Result<Value> Evaluator::attribute(const Value& object, std::string_view name) {
  if (changes(object, name)) {
    return error("'{}' would change a {}, which a chat template must not", one_line(name),
                 type_name(object));
  }
  switch (object.kind) {
    case Kind::undefined:
      return error("'{}' is undefined", one_line(object.text));
    case Kind::text:
      return is_text_method(name) ? heap_.method(object, name) : undefined_value(name);
    case Kind::dict:
      if (is_dict_method(name)) return heap_.method(object, name);
      if (const Value* value = object.dict->find(text_value(name))) return *value;
      return undefined_value(name);
    case Kind::sequence: {
      const Sequence& sequence = *object.sequence;
      if (sequence.flavor == Flavor::group && name == "grouper") return sequence.items[0];
      if (sequence.flavor == Flavor::group && name == "list") return sequence.items[1];
      return is_sequence_method(sequence, name) ? heap_.method(object, name)
                                                : undefined_value(name);
    }
    case Kind::name_space: {
      const Value* value = object.name_space->find(name);
      return value == nullptr ? undefined_value(name) : *value;
    }
    case Kind::loop:
      if (name == "cycle" || name == "changed") return heap_.method(object, name);
      return attribute_of_loop(*object.loop, name);
    case Kind::macro:
      if (name == "name") return text_value(object.macro->statement->text);
      return undefined_value(name);
    default:
      return undefined_value(name);
  }
}

namespace {

// The element of a text or list, or undefined beyond its ends.
Value element(const Value& object, std::int64_t index) {
  const bool is_text = object.is_text();
  const auto length =
      static_cast<std::int64_t>(is_text ? length_of(object.text) : object.sequence->items.size());
  if (index < 0) index += length;
  if (index < 0 || index >= length) return undefined_value("an element beyond the end");
  const auto place = static_cast<std::size_t>(index);
  if (!is_text) return object.sequence->items[place];
  const std::size_t begin = byte_of(object.text, place);
  return text_value(object.text.substr(begin, byte_of(object.text.substr(begin), 1)));
}

}  // namespace

Result<Value> Evaluator::item(const Value& object, const Value& key) {
  if (object.is_undefined()) return error("'{}' is undefined", one_line(object.text));
  if (object.is(Kind::dict) && hashable(key)) {
    if (const Value* value = object.dict->find(key)) return *value;
  }
  const bool indexed =
      object.is_text() || (object.is(Kind::sequence) && object.sequence->flavor <= Flavor::group);
  if (indexed && key.is_integral()) {
    if (object.is_text()) heap_.charge(object.text.size());
    return element(object, key.as_integer());
  }
  if (key.is_text()) return attribute(object, key.text);
  return undefined_value("an item");
}

}  // namespace collie::chat
