// Filters of lists and dicts.
#include <algorithm>
#include <array>

#include "models/tokenizer/chat_template/arguments.hpp"
#include "models/tokenizer/chat_template/text.hpp"

namespace collie::chat {
namespace {

Result<Value> length(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("length", arguments, {}));
  std::size_t count = 0;
  if (input.is_text()) {
    evaluator.heap().charge(input.text.size());
    count = length_of(input.text);
  } else if (input.is(Kind::dict)) {
    count = input.dict->items.size();
  } else if (input.is(Kind::sequence) && input.sequence->flavor != Flavor::generator) {
    count = input.sequence->items.size();
  } else if (input.is(Kind::loop) && input.loop->items != nullptr) {
    count = input.loop->items->size();
  } else if (!input.is_undefined()) {
    return evaluator.error("object of type '{}' has no length", type_name(input));
  }
  return integer_value(static_cast<std::int64_t>(count));
}

Result<Value> first(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("first", arguments, {}));
  if (input.is(Kind::sequence) && input.sequence->flavor == Flavor::generator) {
    Sequence& generator = *input.sequence;
    if (generator.position < generator.items.size()) return generator.items[generator.position++];
  }
  COLLIE_TRY(const std::vector<Value> items, evaluator.iterate(input));
  if (items.empty()) return undefined_value("the first item of nothing");
  return items.front();
}

Result<Value> last(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("last", arguments, {}));
  if (input.is(Kind::sequence) && input.sequence->flavor == Flavor::generator) {
    return evaluator.error("last needs a list, not a generator; use |list before it");
  }
  if (input.is_undefined()) return undefined_value("the last item of nothing");
  COLLIE_TRY(const std::vector<Value> items, evaluator.iterate(input));
  if (items.empty()) return undefined_value("the last item of nothing");
  return items.back();
}

Result<Value> list(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("list", arguments, {}));
  COLLIE_TRY(std::vector<Value> items, evaluator.iterate(input));
  return evaluator.heap().list(std::move(items));
}

Result<Value> items_of(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("items", arguments, {}));
  if (input.is_undefined()) return evaluator.heap().list({}, Flavor::generator);
  if (!input.is(Kind::dict)) {
    return evaluator.error("items needs a mapping, got {}", type_name(input));
  }
  std::vector<Value> pairs;
  for (const auto& [key, value] : input.dict->items) {
    pairs.push_back(evaluator.heap().list({key, value}, Flavor::tuple));
  }
  return evaluator.heap().list(std::move(pairs), Flavor::generator);
}

Result<Value> reverse(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("reverse", arguments, {}));
  COLLIE_TRY(std::vector<Value> items, evaluator.iterate(input));
  std::reverse(items.begin(), items.end());
  if (input.is_text()) {
    std::string text;
    for (const Value& item : items) text.append(item.text);
    return evaluator.heap().own(std::move(text));
  }
  const bool generator = input.is(Kind::sequence) && input.sequence->flavor == Flavor::generator;
  return evaluator.heap().list(std::move(items), generator ? Flavor::list : Flavor::generator);
}

Result<Value> join(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("join", arguments, {"d", "attribute"}));
  std::string_view between;
  if (const Value* given = arguments.find(0, "d")) {
    COLLIE_TRY(between, evaluator.text_of(*given));
  }
  const Value* path = arguments.find(1, "attribute");
  COLLIE_TRY(const std::vector<Value> items, evaluator.iterate(input));
  std::string text;
  for (std::size_t i = 0; i < items.size(); ++i) {
    COLLIE_TRY(const Value item, item_at_path(evaluator, items[i], path ? *path : none_value()));
    COLLIE_TRY(const std::string_view part, evaluator.text_of(item));
    if (!evaluator.heap().reserve(text.size() + between.size() + part.size())) break;
    if (i > 0) text.append(between);
    text.append(part);
  }
  return evaluator.heap().own(std::move(text));
}

Result<Value> sum(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("sum", arguments, {"attribute", "start"}));
  const Value* path = arguments.find(0, "attribute");
  const Value* start = arguments.find(1, "start");
  Value total = start == nullptr ? integer_value(0) : *start;
  COLLIE_TRY(const std::vector<Value> items, evaluator.iterate(input));
  for (const Value& item : items) {
    COLLIE_TRY(const Value part, item_at_path(evaluator, item, path ? *path : none_value()));
    COLLIE_TRY(total, evaluator.binary("+", total, part));
  }
  return total;
}

struct SequenceFilter {
  std::string_view name;
  FilterFunction function;
};
constexpr std::array<SequenceFilter, 9> sequence_filters = {{{"length", length},
                                                             {"count", length},
                                                             {"first", first},
                                                             {"last", last},
                                                             {"list", list},
                                                             {"items", items_of},
                                                             {"reverse", reverse},
                                                             {"join", join},
                                                             {"sum", sum}}};

}  // namespace

FilterFunction find_sequence_filter(std::string_view name) {
  for (const SequenceFilter& entry : sequence_filters) {
    if (entry.name == name) return entry.function;
  }
  return nullptr;
}

}  // namespace collie::chat
