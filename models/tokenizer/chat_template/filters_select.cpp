// Filters that apply another filter or a test: map, select, reject, selectattr, rejectattr; attr.
#include "models/tokenizer/chat_template/arguments.hpp"

namespace collie::chat {
namespace {

Arguments without_first(const Arguments& arguments, std::size_t count) {
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin(),
                        rest.positional.begin() + static_cast<std::ptrdiff_t>(count));
  return rest;
}

Result<Value> map(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  if (!truthy(input)) return evaluator.heap().list({}, Flavor::generator);
  COLLIE_TRY(const std::vector<Value> items, evaluator.iterate(input));
  std::vector<Value> mapped;
  const bool by_path = arguments.positional.empty();
  const Value* path = arguments.find(0, "attribute");
  if (by_path) COLLIE_TRY_VOID(evaluator.check("map", arguments, {"attribute", "default"}));
  if (path == nullptr) return evaluator.error("map needs a filter's name or an attribute");
  if (!by_path && !path->is_text()) return evaluator.error("map: a filter's name is a string");
  const Value* otherwise = by_path ? arguments.find(1, "default") : nullptr;
  const Arguments rest = by_path ? Arguments{} : without_first(arguments, 1);
  for (const Value& item : items) {
    if (by_path) {
      COLLIE_TRY(const Value value, item_at_path(evaluator, item, *path, otherwise));
      mapped.push_back(value);
    } else {
      COLLIE_TRY(const Value value, evaluator.filter(path->text, item, rest));
      mapped.push_back(value);
    }
  }
  return evaluator.heap().list(std::move(mapped), Flavor::generator);
}

Result<Value> choose(Evaluator& evaluator, const Value& input, const Arguments& arguments,
                     bool wanted, bool by_attribute) {
  if (!truthy(input)) return evaluator.heap().list({}, Flavor::generator);
  const std::size_t before = by_attribute ? 1 : 0;
  if (arguments.positional.size() < before) {
    return evaluator.error("selectattr and rejectattr need an attribute");
  }
  const Value path = by_attribute ? arguments.positional[0] : none_value();
  const bool tests = arguments.positional.size() > before;
  if (tests && !arguments.positional[before].is_text()) {
    return evaluator.error("a test's name is a string");
  }
  const Arguments rest = tests ? without_first(arguments, before + 1) : Arguments{};
  COLLIE_TRY(const std::vector<Value> items, evaluator.iterate(input));
  std::vector<Value> kept;
  for (const Value& item : items) {
    COLLIE_TRY(const Value value, item_at_path(evaluator, item, path));
    bool holds = truthy(value);
    if (tests) {
      COLLIE_TRY(holds, evaluator.test(arguments.positional[before].text, value, rest));
    }
    if (holds == wanted) kept.push_back(item);
  }
  return evaluator.heap().list(std::move(kept), Flavor::generator);
}

template <bool wanted, bool by_attribute>
Result<Value> chosen(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  return choose(evaluator, input, arguments, wanted, by_attribute);
}

Result<Value> attr(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("attr", arguments, {"name"}));
  COLLIE_TRY(const auto name, optional_text(evaluator, "attr", arguments, 0, "name"));
  if (!name) return evaluator.error("attr needs a name");
  // Unlike a dot, it does not fall back to an item.
  if (input.is(Kind::dict) && !is_dict_method(*name)) return undefined_value(*name);
  return evaluator.attribute(input, *name);
}

}  // namespace

FilterFunction find_selecting_filter(std::string_view name) {
  if (name == "map") return map;
  if (name == "select") return chosen<true, false>;
  if (name == "reject") return chosen<false, false>;
  if (name == "selectattr") return chosen<true, true>;
  if (name == "rejectattr") return chosen<false, true>;
  return name == "attr" ? attr : nullptr;
}

}  // namespace collie::chat
