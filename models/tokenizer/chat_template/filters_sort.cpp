// Filters that compare items: sort, dictsort, min, max, unique, groupby.
#include <algorithm>

#include "models/tokenizer/chat_template/arguments.hpp"
#include "models/tokenizer/chat_template/text.hpp"

namespace collie::chat {
namespace {

// What sort, min, max, unique and groupby compare.
Result<Value> sort_key(Evaluator& evaluator, const Value& item, const Value* path,
                       bool case_sensitive, const Value* otherwise = nullptr) {
  COLLIE_TRY(const Value key,
             item_at_path(evaluator, item, path ? *path : none_value(), otherwise));
  if (case_sensitive || !key.is_text()) return key;
  return evaluator.heap().own(lower(key.text));
}

struct Keyed {
  std::vector<Value> keys;
  Value item;
};

Status sort_keyed(Evaluator& evaluator, std::vector<Keyed>& keyed, bool reversed) {
  for (const Keyed& entry : keyed) {
    for (std::size_t i = 0; i < entry.keys.size() && keyed.size() > 1; ++i) {
      if (comparable(entry.keys[i], keyed.front().keys[i])) continue;
      return evaluator.error("cannot sort '{}' and '{}'", type_name(keyed.front().keys[i]),
                             type_name(entry.keys[i]));
    }
  }
  const auto less = [](const Keyed& left, const Keyed& right) {
    for (std::size_t i = 0; i < left.keys.size(); ++i) {
      if (const int order = compare(left.keys[i], right.keys[i]); order != 0) return order < 0;
    }
    return false;
  };
  if (reversed) {
    std::stable_sort(keyed.begin(), keyed.end(),
                     [&](const Keyed& left, const Keyed& right) { return less(right, left); });
  } else {
    std::stable_sort(keyed.begin(), keyed.end(), less);
  }
  return ok_status();
}

Result<Value> sort(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("sort", arguments, {"reverse", "case_sensitive", "attribute"}));
  const bool case_sensitive = flag_argument(arguments, 1, "case_sensitive", false);
  std::vector<Value> paths = {none_value()};
  if (const Value* attribute = arguments.find(2, "attribute")) {
    paths = {*attribute};
    if (attribute->is_text()) {
      paths.clear();
      for (const auto part : split(attribute->text, ",", -1)) paths.push_back(text_value(part));
    }
  }
  COLLIE_TRY(const std::vector<Value> items, evaluator.iterate(input));
  std::vector<Keyed> keyed;
  for (const Value& item : items) {
    Keyed& entry = keyed.emplace_back();
    entry.item = item;
    for (const Value& path : paths) {
      COLLIE_TRY(const Value key, sort_key(evaluator, item, &path, case_sensitive));
      entry.keys.push_back(key);
    }
  }
  COLLIE_TRY_VOID(sort_keyed(evaluator, keyed, flag_argument(arguments, 0, "reverse", false)));
  std::vector<Value> sorted;
  for (const Keyed& entry : keyed) sorted.push_back(entry.item);
  return evaluator.heap().list(std::move(sorted));
}

Result<Value> dict_sort(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("dictsort", arguments, {"case_sensitive", "by", "reverse"}));
  if (!input.is(Kind::dict)) {
    return evaluator.error("dictsort needs a mapping, got {}", type_name(input));
  }
  const bool case_sensitive = flag_argument(arguments, 0, "case_sensitive", false);
  COLLIE_TRY(const std::string_view by,
             text_argument(evaluator, "dictsort", arguments, 1, "by", "key"));
  if (by != "key" && by != "value") return evaluator.error("dictsort sorts by 'key' or 'value'");
  std::vector<Keyed> keyed;
  for (const auto& [key, value] : input.dict->items) {
    COLLIE_TRY(const Value compared,
               sort_key(evaluator, by == "key" ? key : value, nullptr, case_sensitive));
    keyed.push_back({{compared}, evaluator.heap().list({key, value}, Flavor::tuple)});
  }
  COLLIE_TRY_VOID(sort_keyed(evaluator, keyed, flag_argument(arguments, 2, "reverse", false)));
  std::vector<Value> sorted;
  for (const Keyed& entry : keyed) sorted.push_back(entry.item);
  return evaluator.heap().list(std::move(sorted));
}

Result<Value> extreme(Evaluator& evaluator, const Value& input, const Arguments& arguments,
                      int wanted) {
  COLLIE_TRY_VOID(evaluator.check("min and max", arguments, {"case_sensitive", "attribute"}));
  const bool case_sensitive = flag_argument(arguments, 0, "case_sensitive", false);
  COLLIE_TRY(const std::vector<Value> items, evaluator.iterate(input));
  if (items.empty()) return undefined_value("the least or greatest of nothing");
  Value best = items.front();
  COLLIE_TRY(Value best_key,
             sort_key(evaluator, best, arguments.find(1, "attribute"), case_sensitive));
  for (std::size_t i = 1; i < items.size(); ++i) {
    COLLIE_TRY(const Value key,
               sort_key(evaluator, items[i], arguments.find(1, "attribute"), case_sensitive));
    if (!comparable(key, best_key)) {
      return evaluator.error("cannot compare '{}' and '{}'", type_name(key), type_name(best_key));
    }
    if (compare(key, best_key) * wanted <= 0) continue;
    best = items[i];
    best_key = key;
  }
  return best;
}

Result<Value> least(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  return extreme(evaluator, input, arguments, -1);
}

Result<Value> greatest(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  return extreme(evaluator, input, arguments, 1);
}

Result<Value> unique(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check("unique", arguments, {"case_sensitive", "attribute"}));
  const bool case_sensitive = flag_argument(arguments, 0, "case_sensitive", false);
  COLLIE_TRY(const std::vector<Value> items, evaluator.iterate(input));
  Dict seen;
  std::vector<Value> kept;
  for (const Value& item : items) {
    COLLIE_TRY(const Value key,
               sort_key(evaluator, item, arguments.find(1, "attribute"), case_sensitive));
    if (!hashable(key)) return evaluator.error("unhashable type: '{}'", type_name(key));
    evaluator.heap().charge(key.is_text() ? 0 : 64 * seen.items.size());
    if (seen.find(key) != nullptr) continue;
    seen.put(key, none_value());
    kept.push_back(item);
  }
  return evaluator.heap().list(std::move(kept), Flavor::generator);
}

Result<Value> group_by(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  COLLIE_TRY_VOID(
      evaluator.check("groupby", arguments, {"attribute", "default", "case_sensitive"}));
  const Value* path = arguments.find(0, "attribute");
  if (path == nullptr) return evaluator.error("groupby needs an attribute");
  const Value* otherwise = arguments.find(1, "default");
  const bool case_sensitive = flag_argument(arguments, 2, "case_sensitive", false);
  COLLIE_TRY(const std::vector<Value> items, evaluator.iterate(input));
  std::vector<Keyed> keyed;
  for (const Value& item : items) {
    COLLIE_TRY(const Value key, sort_key(evaluator, item, path, case_sensitive, otherwise));
    keyed.push_back({{key}, item});
  }
  COLLIE_TRY_VOID(sort_keyed(evaluator, keyed, false));
  std::vector<Value> groups;
  for (std::size_t begin = 0; begin < keyed.size();) {
    std::vector<Value> members;
    std::size_t end = begin;
    while (end < keyed.size() &&
           equal(evaluator.heap(), keyed[end].keys[0], keyed[begin].keys[0])) {
      members.push_back(keyed[end++].item);
    }
    if (members.empty()) return evaluator.error("groupby: a key that is not equal to itself");
    COLLIE_TRY(const Value shown, item_at_path(evaluator, members[0], *path, otherwise));
    const Value group = evaluator.heap().list(std::move(members));
    groups.push_back(evaluator.heap().list({shown, group}, Flavor::group));
    begin = end;
  }
  return evaluator.heap().list(std::move(groups));
}

}  // namespace

FilterFunction find_sorting_filter(std::string_view name) {
  if (name == "sort") return sort;
  if (name == "dictsort") return dict_sort;
  if (name == "min") return least;
  if (name == "max") return greatest;
  if (name == "unique") return unique;
  return name == "groupby" ? group_by : nullptr;
}

}  // namespace collie::chat
