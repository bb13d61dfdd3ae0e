// Renders a tree with values. One Evaluator renders once.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/tokenizer/chat_template/ast.hpp"
#include "models/tokenizer/chat_template/value.hpp"
#include "runtime/result.hpp"

namespace collie::chat {

// Names of one block; names not found here are looked up outside.
struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<std::string_view, Value>> names;
  bool captured = false;  // a macro may still look names up here

  Value* find(std::string_view name);
  void put(std::string_view name, const Value& value);
};

struct Macro {
  const Statement* statement = nullptr;
  Scope* scope = nullptr;  // where it was made
};

// Of a call: what a function, method, filter or test gets.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string_view, Value>> named;

  // The argument at this place or of this name; nullptr where it was not given.
  const Value* find(std::size_t place, std::string_view name) const;
};

// Bytes of the text that a {% generation %} block wrote.
struct GeneratedSpan {
  std::size_t begin = 0;
  std::size_t end = 0;
};

class Evaluator {
 public:
  // name stands for the template in errors; now_s: seconds since 1970 for strftime_now.
  Evaluator(const Tree& tree, const std::string& name, std::int64_t now_s)
      : tree_(tree), name_(name), now_s_(now_s), scope_(&scopes_.emplace_back()) {}

  Heap& heap() { return heap_; }
  void define(std::string_view name, const Value& value) { scope_->put(name, value); }

  Result<std::string> render();
  const std::vector<GeneratedSpan>& generated() const { return generated_; }

  // What follows is for filters, tests, methods and functions.
  template <class... Args>
  Error error(fmt::format_string<Args...> format, Args&&... args) const {
    return located(ErrorCode::invalid_data, fmt::format(format, std::forward<Args>(args)...));
  }
  Error unsupported(std::string_view what) const {
    return located(ErrorCode::unsupported, fmt::format("{} is not supported here", what));
  }
  // Fails for arguments beyond these names, which are in the order of their places.
  Status check(std::string_view what, const Arguments& arguments,
               std::initializer_list<std::string_view> names) const;
  Result<std::vector<Value>> iterate(const Value& value);  // takes what is left of a generator
  Result<std::string_view> text_of(const Value& value);    // str()
  Result<Value> attribute(const Value& object, std::string_view name);
  Result<Value> item(const Value& object, const Value& key);
  Result<bool> contains(const Value& container, const Value& value);
  Result<Value> binary(std::string_view sign, const Value& left, const Value& right);
  Result<bool> ordered(std::string_view sign, const Value& left, const Value& right);
  Result<Value> call(const Value& callee, const Arguments& arguments);
  Result<Value> filter(std::string_view name, const Value& input, const Arguments& arguments);
  Result<bool> test(std::string_view name, const Value& value, const Arguments& arguments);
  std::int64_t now_s() const { return now_s_; }

 private:
  enum class Flow { onward, leave, skip };

  // Counts how many nodes are at work inside each other.
  class Depth {
   public:
    explicit Depth(int& depth) : depth_(depth) { ++depth_; }
    ~Depth() { --depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;

   private:
    int& depth_;
  };

  Error located(ErrorCode code, std::string_view message) const;
  Status check_work() const;
  Status check_depth() const;

  Result<Value> evaluate(const Expression* node);
  Result<Value> evaluate_node(const Expression& node);
  Result<Value> name(const Expression& node);
  Result<Value> compare(const Expression& node);
  Result<Value> concatenate(const Expression& node);
  Result<Value> unary(const Expression& node);
  Result<Value> dict(const Expression& node);
  Result<Value> subscript(const Expression& node);
  Result<Value> slice(const Value& object, const Expression& node);
  Result<std::vector<Value>> all(const std::vector<const Expression*>& nodes);
  Result<Arguments> arguments_of(const Expression& node);
  Result<Value> apply_filters(const Expression& node, const Value& input);

  Result<Flow> execute(const Body& body);
  Result<Flow> execute(const Statement& node);
  Status output(const Statement& node);
  Result<Flow> branch(const Statement& node);
  Result<Flow> loop(const Statement& node);
  Result<Flow> loop_over(const Statement& node, const std::vector<Value>& items, Scope& outside);
  Result<std::vector<Value>> loop_items(const Statement& node);
  Status assign(const Expression& target, const Value& value);
  Status capture(const Statement& node);
  Status call_block(const Statement& node);
  Status generation(const Statement& node);
  Result<Flow> with(const Statement& node);
  Result<std::string> written(const Body& body, Scope& scope);
  Status write(std::string_view text);

  Value make_macro(const Statement& node);
  Result<Value> call_macro(const Macro& macro, const Arguments& arguments);
  Status bind(const Macro& macro, const Arguments& arguments, Scope& scope);
  Status bind_rest(const Macro& macro, const Arguments& arguments, Scope& scope);
  Value attribute_of_loop(Loop& loop, std::string_view name);

  const Tree& tree_;
  const std::string& name_;
  std::int64_t now_s_;
  Heap heap_;
  std::deque<Scope> scopes_;
  std::deque<Macro> macros_;
  Scope* scope_;
  std::string main_;
  std::string* out_ = &main_;
  std::vector<GeneratedSpan> generated_;
  int line_ = 1;
  int depth_ = 0;
  int loop_depth_ = 0;
};

// Bodies of the tables; undefined where there is no such thing. See filters.cpp and so on.
using FilterFunction = Result<Value> (*)(Evaluator&, const Value&, const Arguments&);
using TestFunction = Result<bool> (*)(Evaluator&, const Value&, const Arguments&);
FilterFunction find_text_filter(std::string_view name);
FilterFunction find_sequence_filter(std::string_view name);
FilterFunction find_selecting_filter(std::string_view name);
FilterFunction find_sorting_filter(std::string_view name);
// Any of those above.
FilterFunction find_filter(std::string_view name);
TestFunction find_test(std::string_view name);
bool is_global_function(std::string_view name);
Result<Value> call_function(Evaluator& evaluator, std::string_view name,
                            const Arguments& arguments);
bool is_text_method(std::string_view name);
Result<Value> call_text_method(Evaluator& evaluator, const Value& self, std::string_view name,
                               const Arguments& arguments);
bool is_dict_method(std::string_view name);
Result<Value> call_dict_method(Evaluator& evaluator, const Value& self, std::string_view name,
                               const Arguments& arguments);
Result<Value> call_sequence_method(Evaluator& evaluator, const Value& self, std::string_view name,
                                   const Arguments& arguments);
Result<Value> call_loop_method(Evaluator& evaluator, Loop& loop, std::string_view name,
                               const Arguments& arguments);

// One line, printable, of at most 300 bytes.
std::string one_line(std::string_view text);

}  // namespace collie::chat
