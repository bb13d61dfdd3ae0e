// What one rendering makes, and how much of it there may be.
#include <algorithm>

#include "models/tokenizer/chat_template/value.hpp"
#include "runtime/json.hpp"
#include "runtime/limits.hpp"

namespace collie::chat {

void Heap::charge(std::size_t bytes) {
  steps_ += 1 + static_cast<std::int64_t>(bytes / 64);
  if (steps_ > limits::chat_template_steps_max) exhausted_ = true;
}

bool Heap::reserve(std::size_t bytes) {
  if (bytes > limits::chat_template_output_bytes_max ||
      bytes_ + bytes > limits::chat_template_memory_bytes_max) {
    exhausted_ = true;
  }
  return !exhausted_;
}

int Heap::noted_depth(int depth) {
  if (depth > limits::chat_template_recursion_max) exhausted_ = true;
  return depth;
}

Value Heap::own(std::string text) {
  charge(text.size());
  bytes_ += text.size() + sizeof(std::string);
  if (!reserve(0)) return text_value({});
  texts_.push_back(std::move(text));
  return text_value(texts_.back());
}

namespace {

int depth_of(const Value& value) {
  if (value.is(Kind::sequence)) return value.sequence->depth;
  return value.is(Kind::dict) ? value.dict->depth : 0;
}

}  // namespace

Value Heap::list(std::vector<Value> items, Flavor flavor) {
  charge(items.size() * sizeof(Value));
  bytes_ += items.size() * sizeof(Value) + sizeof(Sequence);
  reserve(0);
  Sequence& made = sequences_.emplace_back();
  made.flavor = flavor;
  for (const Value& item : items) made.depth = std::max(made.depth, depth_of(item) + 1);
  noted_depth(made.depth);
  made.items = std::move(items);
  Value value;
  value.kind = Kind::sequence;
  value.sequence = &made;
  return value;
}

Value Heap::dict(Dict dict) {
  charge(dict.items.size() * 4 * sizeof(Value));
  bytes_ += dict.items.size() * 4 * sizeof(Value) + sizeof(Dict);
  reserve(0);
  for (const auto& [key, item] : dict.items) dict.depth = std::max(dict.depth, depth_of(item) + 1);
  noted_depth(dict.depth);
  dicts_.push_back(std::move(dict));
  Value value;
  value.kind = Kind::dict;
  value.dict = &dicts_.back();
  return value;
}

Value Heap::name_space(Namespace made) {
  charge(sizeof(Namespace));
  bytes_ += sizeof(Namespace);
  namespaces_.push_back(std::move(made));
  Value value;
  value.kind = Kind::name_space;
  value.name_space = &namespaces_.back();
  return value;
}

Value Heap::method(const Value& self, std::string_view name) {
  bytes_ += sizeof(Method);
  methods_.push_back({self, name});
  Value value;
  value.kind = Kind::method;
  value.method = &methods_.back();
  return value;
}

Loop& Heap::loop() {
  bytes_ += sizeof(Loop);
  return loops_.emplace_back();
}

Value Heap::from_json(const Json& json) {
  if (json.is_null()) return none_value();
  if (json.is_boolean()) return boolean_value(json.get<bool>());
  if (json.is_string()) return text_value(json.get_ref<const std::string&>());
  if (json.is_number_unsigned() && json.get<std::uint64_t>() > INT64_MAX) {
    return number_value(json.get<double>());
  }
  if (json.is_number_integer()) return integer_value(json.get<std::int64_t>());
  if (json.is_number()) return number_value(json.get<double>());
  if (json.is_array()) {
    std::vector<Value> items;
    for (const Json& item : json) items.push_back(from_json(item));
    return list(std::move(items));
  }
  Dict made;
  for (const auto& [key, item] : json.items()) made.put(text_value(key), from_json(item));
  return dict(std::move(made));
}

}  // namespace collie::chat
