#include "models/tokenizer/chat_template/value.hpp"

#include <algorithm>
#include <cmath>

namespace collie::chat {

Value undefined_value(std::string_view name) {
  Value value;
  value.text = name;
  return value;
}

Value none_value() {
  Value value;
  value.kind = Kind::none;
  return value;
}

Value boolean_value(bool boolean) {
  Value value;
  value.kind = Kind::boolean;
  value.boolean = boolean;
  return value;
}

Value integer_value(std::int64_t integer) {
  Value value;
  value.kind = Kind::integer;
  value.integer = integer;
  return value;
}

Value number_value(double number) {
  Value value;
  value.kind = Kind::number;
  value.number = number;
  return value;
}

Value text_value(std::string_view text) {
  Value value;
  value.kind = Kind::text;
  value.text = text;
  return value;
}

namespace {

// Equality of keys: as equal(), and keys are small.
bool same_key(const Value& a, const Value& b) {
  if (a.is_numeric() && b.is_numeric()) {
    return a.is_integral() && b.is_integral() ? a.as_integer() == b.as_integer()
                                              : a.as_number() == b.as_number();
  }
  if (a.kind != b.kind) return false;
  if (a.is_text()) return a.text == b.text;
  if (a.is(Kind::none)) return true;
  if (!a.is(Kind::sequence)) return false;
  return std::equal(a.sequence->items.begin(), a.sequence->items.end(), b.sequence->items.begin(),
                    b.sequence->items.end(), same_key);
}

}  // namespace

const Value* Dict::find(const Value& key) const {
  if (key.is_text()) {
    const auto found = places.find(key.text);
    return found == places.end() ? nullptr : &items[found->second].second;
  }
  for (const auto& [known, value] : items) {
    if (same_key(known, key)) return &value;
  }
  return nullptr;
}

void Dict::put(const Value& key, const Value& value) {
  if (const Value* known = find(key)) {
    *const_cast<Value*>(known) = value;
    return;
  }
  if (key.is_text()) places.emplace(key.text, items.size());
  items.emplace_back(key, value);
}

Value* Namespace::find(std::string_view name) {
  for (auto& [known, value] : attributes) {
    if (known == name) return &value;
  }
  return nullptr;
}

void Namespace::put(std::string_view name, const Value& value) {
  if (Value* known = find(name)) {
    *known = value;
  } else {
    attributes.emplace_back(name, value);
  }
}

bool truthy(const Value& value) {
  switch (value.kind) {
    case Kind::undefined:
    case Kind::none:
      return false;
    case Kind::boolean:
      return value.boolean;
    case Kind::integer:
      return value.integer != 0;
    case Kind::number:
      return value.number != 0.0;
    case Kind::text:
      return !value.text.empty();
    case Kind::sequence:
      return value.sequence->flavor == Flavor::generator || !value.sequence->items.empty();
    case Kind::dict:
      return !value.dict->items.empty();
    default:
      return true;
  }
}

bool hashable(const Value& value) {
  if (value.is(Kind::dict)) return false;
  if (!value.is(Kind::sequence)) return true;
  const Sequence& sequence = *value.sequence;
  // Tuples of tuples are not taken, because they may share parts many times over.
  const auto simple = [](const Value& item) { return item.kind <= Kind::text; };
  return sequence.flavor == Flavor::tuple &&
         std::all_of(sequence.items.begin(), sequence.items.end(), simple);
}

namespace {

bool equal_sequences(Heap& heap, const Sequence& a, const Sequence& b) {
  if (&a == &b) return true;
  const auto family = [](Flavor flavor) {
    return flavor == Flavor::group ? Flavor::tuple : flavor;
  };
  if (family(a.flavor) != family(b.flavor) || a.flavor == Flavor::generator) return false;
  if (a.items.size() != b.items.size()) return false;
  for (std::size_t i = 0; i < a.items.size(); ++i) {
    if (!equal(heap, a.items[i], b.items[i])) return false;
  }
  return true;
}

bool equal_dicts(Heap& heap, const Dict& a, const Dict& b) {
  if (a.items.size() != b.items.size()) return false;
  for (const auto& [key, value] : a.items) {
    const Value* other = b.find(key);
    if (other == nullptr || !equal(heap, value, *other)) return false;
  }
  return true;
}

}  // namespace

bool equal(Heap& heap, const Value& a, const Value& b) {
  heap.charge(0);
  if (heap.exhausted()) return false;
  if (a.is_numeric() && b.is_numeric()) return same_key(a, b);
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::undefined:
    case Kind::none:
      return true;
    case Kind::text:
      heap.charge(a.text.size());
      return a.text == b.text;
    case Kind::sequence:
      return equal_sequences(heap, *a.sequence, *b.sequence);
    case Kind::dict:
      return equal_dicts(heap, *a.dict, *b.dict);
    case Kind::method:
      return a.method->name == b.method->name && equal(heap, a.method->self, b.method->self);
    case Kind::function:
      return a.text == b.text;
    default:
      return a.macro == b.macro;
  }
}

bool comparable(const Value& a, const Value& b) {
  return (a.is_numeric() && b.is_numeric()) || (a.is_text() && b.is_text());
}

int compare(const Value& a, const Value& b) {
  if (a.is_text()) return a.text.compare(b.text);
  if (a.is_integral() && b.is_integral()) {
    return a.as_integer() < b.as_integer() ? -1 : (a.as_integer() > b.as_integer() ? 1 : 0);
  }
  return a.as_number() < b.as_number() ? -1 : (a.as_number() > b.as_number() ? 1 : 0);
}

std::string_view type_name(const Value& value) {
  static constexpr std::string_view flavors[] = {
      "list", "tuple", "tuple", "dict_keys", "dict_values", "dict_items", "generator"};
  switch (value.kind) {
    case Kind::undefined:
      return "Undefined";
    case Kind::none:
      return "NoneType";
    case Kind::boolean:
      return "bool";
    case Kind::integer:
      return "int";
    case Kind::number:
      return "float";
    case Kind::text:
      return "str";
    case Kind::sequence:
      return flavors[static_cast<std::size_t>(value.sequence->flavor)];
    case Kind::dict:
      return "dict";
    case Kind::name_space:
      return "Namespace";
    case Kind::macro:
      return "Macro";
    case Kind::loop:
      return "LoopContext";
    default:
      return "function";
  }
}

}  // namespace collie::chat
