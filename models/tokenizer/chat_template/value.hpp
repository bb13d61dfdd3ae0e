// What a chat template computes with: Python's values as far as jinja2 templates meet them.
//
// A Value is small and trivially copied. What it points to (texts, lists, dicts, ...) belongs to
// the Heap of one rendering, to the template's tree or to the caller's JSON, and is freed all at
// once, so values may share and refer to each other in any way. Lists and dicts never change after
// they are made (jinja2's immutable sandbox); only namespaces do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/json_fwd.hpp"

namespace collie::chat {

enum class Kind : std::uint8_t {
  undefined,
  none,
  boolean,
  integer,
  number,
  text,
  sequence,
  dict,
  name_space,
  macro,
  method,
  function,
  loop,
};

struct Sequence;
struct Dict;
struct Namespace;
struct Macro;
struct Method;
struct Loop;

struct Value {
  Kind kind = Kind::undefined;
  bool safe = false;      // a text that went through |safe
  std::string_view text;  // Kind::text; the missing name of undefined; the name of a function
  union {
    std::int64_t integer = 0;
    bool boolean;
    double number;
    Sequence* sequence;
    const Dict* dict;
    Namespace* name_space;
    const Macro* macro;
    const Method* method;
    Loop* loop;
  };

  bool is(Kind wanted) const { return kind == wanted; }
  bool is_text() const { return kind == Kind::text; }
  bool is_undefined() const { return kind == Kind::undefined; }
  bool is_integral() const { return kind == Kind::integer || kind == Kind::boolean; }
  bool is_numeric() const { return is_integral() || kind == Kind::number; }
  std::int64_t as_integer() const { return kind == Kind::boolean ? (boolean ? 1 : 0) : integer; }
  double as_number() const {
    return kind == Kind::number ? number : static_cast<double>(as_integer());
  }
};

Value undefined_value(std::string_view name = {});
Value none_value();
Value boolean_value(bool value);
Value integer_value(std::int64_t value);
Value number_value(double value);
Value text_value(std::string_view text);  // the text must outlive the rendering

enum class Flavor : std::uint8_t { list, tuple, group, keys, values, items, generator };

struct Sequence {
  Flavor flavor = Flavor::list;
  bool is_range = false;  // made by range(): Python prints and adds it in another way than a list
  std::vector<Value> items;
  std::size_t position = 0;  // of a generator: what was taken
  int depth = 1;
};

// Keeps the order of insertion. Keys are texts, numbers, None and tuples of those.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  std::unordered_map<std::string_view, std::size_t> places;  // of text keys
  int depth = 1;

  const Value* find(const Value& key) const;
  void put(const Value& key, const Value& value);
};

struct Namespace {
  std::vector<std::pair<std::string_view, Value>> attributes;
  Value* find(std::string_view name);
  void put(std::string_view name, const Value& value);
};

// A method bound to its object; name is from the template.
struct Method {
  Value self;
  std::string_view name;
};

struct Loop {
  const std::vector<Value>* items = nullptr;
  std::size_t index = 0;
  int depth = 0;
  bool was_changed = false;  // loop.changed() has been called
  std::vector<Value> last_changed;
};

// Owns what one rendering makes, and counts its work. Once exhausted() what it makes means nothing.
class Heap {
 public:
  Value own(std::string text);
  Value list(std::vector<Value> items, Flavor flavor = Flavor::list);
  Value dict(Dict dict);
  Value name_space(Namespace made);
  Value method(const Value& self, std::string_view name);
  Loop& loop();
  Value from_json(const Json& json);  // the JSON must outlive the heap

  void charge(std::size_t bytes);  // one step and these bytes of work
  // Whether that much more may be made; asked before a text is made that is longer than its parts.
  bool reserve(std::size_t bytes);
  bool exhausted() const { return exhausted_; }

 private:
  int noted_depth(int depth);

  std::deque<std::string> texts_;
  std::deque<Sequence> sequences_;
  std::deque<Dict> dicts_;
  std::deque<Namespace> namespaces_;
  std::deque<Method> methods_;
  std::deque<Loop> loops_;
  std::int64_t steps_ = 0;
  std::size_t bytes_ = 0;
  bool exhausted_ = false;
};

bool truthy(const Value& value);
bool hashable(const Value& value);
// Python's ==. Charges the heap, because values may share parts many times over.
bool equal(Heap& heap, const Value& a, const Value& b);
// Negative, zero, positive; comparable() says whether Python could.
bool comparable(const Value& a, const Value& b);
int compare(const Value& a, const Value& b);

// Python's name of the type, for messages.
std::string_view type_name(const Value& value);

}  // namespace collie::chat
