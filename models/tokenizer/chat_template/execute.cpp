#include "models/tokenizer/chat_template/evaluator.hpp"
#include "runtime/limits.hpp"

namespace collie::chat {

Value* Scope::find(std::string_view name) {
  for (Scope* scope = this; scope != nullptr; scope = scope->parent) {
    for (auto& [known, value] : scope->names) {
      if (known == name) return &value;
    }
  }
  return nullptr;
}

void Scope::put(std::string_view name, const Value& value) {
  for (auto& [known, old] : names) {
    if (known == name) {
      old = value;
      return;
    }
  }
  names.emplace_back(name, value);
}

Result<std::string> Evaluator::render() {
  // The template's own names hide what the caller gave.
  Scope& top = scopes_.emplace_back();
  top.parent = scope_;
  scope_ = &top;
  COLLIE_TRY(const Flow flow, execute(tree_.body));
  static_cast<void>(flow);
  COLLIE_TRY_VOID(check_work());
  return std::move(main_);
}

Status Evaluator::check_work() const {
  if (!heap_.exhausted()) return ok_status();
  return error("the template does too much work or makes too much text");
}

Status Evaluator::check_depth() const {
  if (depth_ <= limits::chat_template_recursion_max) return ok_status();
  return error("evaluation is nested deeper than {}", limits::chat_template_recursion_max);
}

Status Evaluator::write(std::string_view text) {
  heap_.charge(text.size());
  if (!heap_.reserve(out_->size() + text.size())) return check_work();
  out_->append(text);
  return ok_status();
}

Result<Evaluator::Flow> Evaluator::execute(const Body& body) {
  for (const Statement* node : body) {
    COLLIE_TRY(const Flow flow, execute(*node));
    if (flow != Flow::onward) return flow;
  }
  return Flow::onward;
}

Result<Evaluator::Flow> Evaluator::execute(const Statement& node) {
  const Depth depth(depth_);
  COLLIE_TRY_VOID(check_depth());
  heap_.charge(0);
  COLLIE_TRY_VOID(check_work());
  line_ = node.line;
  switch (node.type) {
    case Statement::Type::text:
      COLLIE_TRY_VOID(write(node.text));
      return Flow::onward;
    case Statement::Type::output:
      COLLIE_TRY_VOID(output(node));
      return Flow::onward;
    case Statement::Type::branch:
      return branch(node);
    case Statement::Type::loop:
      return loop(node);
    case Statement::Type::assign: {
      COLLIE_TRY(const Value value, evaluate(node.values[0]));
      COLLIE_TRY_VOID(assign(*node.target, value));
      return Flow::onward;
    }
    case Statement::Type::capture:
    case Statement::Type::filter:
      COLLIE_TRY_VOID(capture(node));
      return Flow::onward;
    case Statement::Type::macro:
      scope_->put(node.text, make_macro(node));
      return Flow::onward;
    case Statement::Type::call:
      COLLIE_TRY_VOID(call_block(node));
      return Flow::onward;
    case Statement::Type::with:
      return with(node);
    case Statement::Type::generation:
      COLLIE_TRY_VOID(generation(node));
      return Flow::onward;
    case Statement::Type::leave:
      return Flow::leave;
    case Statement::Type::skip:
      return Flow::skip;
  }
  return Flow::onward;
}

Status Evaluator::output(const Statement& node) {
  COLLIE_TRY(const Value value, evaluate(node.values[0]));
  line_ = node.line;
  COLLIE_TRY(const std::string_view text, text_of(value));
  return write(text);
}

Result<Evaluator::Flow> Evaluator::branch(const Statement& node) {
  for (std::size_t i = 0; i < node.values.size(); ++i) {
    COLLIE_TRY(const Value decision, evaluate(node.values[i]));
    if (truthy(decision)) return execute(node.bodies[i]);
  }
  if (node.bodies.size() > node.values.size()) return execute(node.bodies.back());
  return Flow::onward;
}

// The items that pass the loop's condition, which sees the target and nothing else of the loop.
Result<std::vector<Value>> Evaluator::loop_items(const Statement& node) {
  COLLIE_TRY(const Value source, evaluate(node.values[0]));
  COLLIE_TRY(std::vector<Value> items, iterate(source));
  if (node.values[1] == nullptr) return items;
  Scope scope;
  scope.parent = scope_;
  std::vector<Value> kept;
  Scope* const outside = std::exchange(scope_, &scope);
  for (const Value& item : items) {
    COLLIE_TRY_VOID(assign(*node.target, item));
    COLLIE_TRY(const Value passes, evaluate(node.values[1]));
    if (truthy(passes)) kept.push_back(item);
  }
  scope_ = outside;
  return kept;
}

Result<Evaluator::Flow> Evaluator::loop(const Statement& node) {
  COLLIE_TRY(const std::vector<Value> items, loop_items(node));
  Scope* const outside = scope_;
  ++loop_depth_;
  COLLIE_TRY(const Flow flow, loop_over(node, items, *outside));
  --loop_depth_;
  scope_ = outside;
  if (!items.empty()) return flow;
  Scope& scope = scopes_.emplace_back();
  scope.parent = outside;
  scope_ = &scope;
  Result<Flow> otherwise = execute(node.bodies[1]);
  scope_ = outside;
  return otherwise;
}

Result<Evaluator::Flow> Evaluator::loop_over(const Statement& node, const std::vector<Value>& items,
                                             Scope& outside) {
  Loop& state = heap_.loop();
  state.items = &items;
  state.depth = loop_depth_;
  Value handle;
  handle.kind = Kind::loop;
  handle.loop = &state;
  Scope* scope = nullptr;
  for (; state.index < items.size(); ++state.index) {
    heap_.charge(sizeof(Scope));
    if (scope == nullptr || scope->captured) scope = &scopes_.emplace_back();
    scope->parent = &outside;
    scope->names.clear();
    scope_ = scope;
    scope->put("loop", handle);
    line_ = node.line;
    COLLIE_TRY_VOID(assign(*node.target, items[state.index]));
    COLLIE_TRY(const Flow flow, execute(node.bodies[0]));
    if (flow == Flow::leave) break;
  }
  state.items = nullptr;
  return Flow::onward;
}

Status Evaluator::assign(const Expression& target, const Value& value) {
  if (target.type == Expression::Type::name) {
    scope_->put(target.text, value);
    return ok_status();
  }
  if (target.type == Expression::Type::attribute) {
    const Value* object = scope_->find(target.operands[0]->text);
    if (object == nullptr || !object->is(Kind::name_space)) {
      return error("cannot assign attribute on non-namespace object '{}'",
                   one_line(target.operands[0]->text));
    }
    if (target.text.starts_with('_')) return error("a namespace's names cannot begin with _");
    object->name_space->put(target.text, value);
    return ok_status();
  }
  COLLIE_TRY(const std::vector<Value> parts, iterate(value));
  if (parts.size() != target.operands.size()) {
    return error("cannot unpack {} values into {} names", parts.size(), target.operands.size());
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    COLLIE_TRY_VOID(assign(*target.operands[i], parts[i]));
  }
  return ok_status();
}

Result<std::string> Evaluator::written(const Body& body, Scope& scope) {
  std::string text;
  std::string* const out = std::exchange(out_, &text);
  Scope* const outside = std::exchange(scope_, &scope);
  COLLIE_TRY(const Flow flow, execute(body));
  static_cast<void>(flow);
  out_ = out;
  scope_ = outside;
  return text;
}

// {% set x %}...{% endset %} and {% filter f %}...{% endfilter %}.
Status Evaluator::capture(const Statement& node) {
  Scope& scope = scopes_.emplace_back();
  scope.parent = scope_;
  COLLIE_TRY(std::string text, written(node.bodies[0], scope));
  Value value = heap_.own(std::move(text));
  if (node.values[0] != nullptr) {
    COLLIE_TRY(value, apply_filters(*node.values[0], value));
  }
  if (node.type == Statement::Type::capture) return assign(*node.target, value);
  COLLIE_TRY(const std::string_view filtered, text_of(value));
  return write(filtered);
}

Result<Evaluator::Flow> Evaluator::with(const Statement& node) {
  Scope& scope = scopes_.emplace_back();
  scope.parent = scope_;
  for (std::size_t i = 0; i < node.names.size(); ++i) {
    COLLIE_TRY(const Value value, evaluate(node.values[i]));
    scope.put(node.names[i], value);
  }
  Scope* const outside = std::exchange(scope_, &scope);
  COLLIE_TRY(const Flow flow, execute(node.bodies[0]));
  scope_ = outside;
  return flow;
}

// transformers measures from what the template has given out so far, so a block inside a macro or a
// {% set %} block is placed where that began.
Status Evaluator::generation(const Statement& node) {
  Scope& scope = scopes_.emplace_back();
  scope.parent = scope_;
  COLLIE_TRY(const std::string text, written(node.bodies[0], scope));
  generated_.push_back({main_.size(), main_.size() + text.size()});
  return write(text);
}

}  // namespace collie::chat
