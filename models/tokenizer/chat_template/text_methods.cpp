// Methods of str.
#include <algorithm>
#include <array>

#include "models/tokenizer/chat_template/arguments.hpp"
#include "models/tokenizer/chat_template/text.hpp"

namespace collie::chat {
namespace {

using MethodFunction = Result<Value> (*)(Evaluator&, std::string_view, std::string_view,
                                         const Arguments&);

Value owned_list(Heap& heap, const std::vector<std::string_view>& parts,
                 Flavor flavor = Flavor::list) {
  std::vector<Value> items;
  for (const std::string_view part : parts) items.push_back(text_value(part));
  return heap.list(std::move(items), flavor);
}

Result<Value> stripped(Evaluator& evaluator, std::string_view self, std::string_view name,
                       const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check(name, arguments, {"chars"}));
  COLLIE_TRY(const auto set, optional_text(evaluator, name, arguments, 0, "chars"));
  const Sides sides = name == "strip" ? Sides::both : name == "lstrip" ? Sides::left : Sides::right;
  return text_value(strip(self, set, sides));
}

Result<Value> split_up(Evaluator& evaluator, std::string_view self, std::string_view name,
                       const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check(name, arguments, {"sep", "maxsplit"}));
  COLLIE_TRY(const auto by, optional_text(evaluator, name, arguments, 0, "sep"));
  COLLIE_TRY(const std::int64_t most,
             integer_argument(evaluator, name, arguments, 1, "maxsplit", -1));
  if (by && by->empty()) return evaluator.error("{}: empty separator", name);
  const auto parts = name == "split" ? split(self, by, most) : split_from_right(self, by, most);
  return owned_list(evaluator.heap(), parts);
}

Result<Value> lines(Evaluator& evaluator, std::string_view self, std::string_view name,
                    const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check(name, arguments, {"keepends"}));
  const bool keep = flag_argument(arguments, 0, "keepends", false);
  return owned_list(evaluator.heap(), split_lines(self, keep));
}

// [start, end) of the text in code points, as Python clips them; nullopt: start is beyond the text.
Result<std::optional<std::string_view>> part_of(Evaluator& evaluator, std::string_view self,
                                                std::string_view name, const Arguments& arguments) {
  const auto length = static_cast<std::int64_t>(length_of(self));
  std::int64_t bounds[2] = {0, length};
  for (std::size_t i = 0; i < 2; ++i) {
    const Value* given = arguments.find(i + 1, "");
    if (given == nullptr || given->is(Kind::none)) continue;
    COLLIE_TRY(bounds[i], integer_argument(evaluator, name, arguments, i + 1, "start or end", 0));
    if (bounds[i] < 0) bounds[i] = std::max<std::int64_t>(bounds[i] + length, 0);
  }
  bounds[1] = std::min(bounds[1], length);
  if (bounds[0] > bounds[1]) return std::optional<std::string_view>();
  const std::size_t begin = byte_of(self, static_cast<std::size_t>(bounds[0]));
  const std::size_t end = byte_of(self, static_cast<std::size_t>(bounds[1]));
  return std::optional(self.substr(begin, end - begin));
}

Result<Value> affixed(Evaluator& evaluator, std::string_view self, std::string_view name,
                      const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check(name, arguments, {"affix", "start", "end"}));
  COLLIE_TRY(const auto part, part_of(evaluator, self, name, arguments));
  const Value* given = arguments.find(0, "affix");
  if (given == nullptr) return evaluator.error("{} needs an argument", name);
  std::vector<Value> affixes = {*given};
  if (given->is(Kind::sequence) && given->sequence->flavor == Flavor::tuple) {
    affixes = given->sequence->items;
  }
  for (const Value& affix : affixes) {
    if (!affix.is_text()) {
      return evaluator.error("{} takes a string or a tuple of strings, not {}", name,
                             type_name(affix));
    }
    if (!part) continue;
    const bool holds =
        name == "startswith" ? part->starts_with(affix.text) : part->ends_with(affix.text);
    if (holds) return boolean_value(true);
  }
  return boolean_value(false);
}

Result<Value> searched(Evaluator& evaluator, std::string_view self, std::string_view name,
                       const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check(name, arguments, {"sub", "start", "end"}));
  COLLIE_TRY(const auto part, part_of(evaluator, self, name, arguments));
  COLLIE_TRY(const auto wanted, optional_text(evaluator, name, arguments, 0, "sub"));
  if (!wanted) return evaluator.error("{} needs a string", name);
  if (name == "count") {
    return integer_value(part ? static_cast<std::int64_t>(count_of(*part, *wanted)) : 0);
  }
  const bool from_right = name == "rfind" || name == "rindex";
  const std::size_t place = !part        ? self.npos
                            : from_right ? part->rfind(*wanted)
                                         : part->find(*wanted);
  if (place == self.npos) {
    if (name.ends_with("index")) return evaluator.error("{}: substring not found", name);
    return integer_value(-1);
  }
  const auto begin = static_cast<std::size_t>(part->data() - self.data());
  return integer_value(static_cast<std::int64_t>(length_of(self.substr(0, begin + place))));
}

Result<Value> replaced(Evaluator& evaluator, std::string_view self, std::string_view name,
                       const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check(name, arguments, {"old", "new", "count"}));
  COLLIE_TRY(const auto old, optional_text(evaluator, name, arguments, 0, "old"));
  COLLIE_TRY(const auto by, optional_text(evaluator, name, arguments, 1, "new"));
  COLLIE_TRY(const std::int64_t most, integer_argument(evaluator, name, arguments, 2, "count", -1));
  if (!old || !by) return evaluator.error("{} needs two strings", name);
  Heap& heap = evaluator.heap();
  if (!heap.reserve(self.size() + count_of(self, *old) * by->size())) return undefined_value();
  return heap.own(replace(self, *old, *by, most));
}

Result<Value> cased(Evaluator& evaluator, std::string_view self, std::string_view name,
                    const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check(name, arguments, {}));
  Heap& heap = evaluator.heap();
  if (name == "upper") return heap.own(upper(self));
  if (name == "title") return heap.own(title(self));
  return heap.own(name == "lower" ? lower(self) : capitalize(self));
}

Result<Value> asked(Evaluator& evaluator, std::string_view self, std::string_view name,
                    const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check(name, arguments, {}));
  if (name == "isspace") return boolean_value(all_code_points(self, is_space));
  if (name == "isalpha") return boolean_value(all_code_points(self, is_letter));
  if (name == "isupper") return boolean_value(is_cased(self, true));
  if (name == "islower") return boolean_value(is_cased(self, false));
  if (name == "isalnum") {
    const auto either = [](char32_t value) { return is_letter(value) || is_digit(value); };
    return boolean_value(all_code_points(self, either));
  }
  return boolean_value(all_code_points(self, is_digit));
}

Result<Value> joined(Evaluator& evaluator, std::string_view self, std::string_view name,
                     const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check(name, arguments, {"iterable"}));
  if (arguments.positional.empty()) return evaluator.error("{} needs an argument", name);
  COLLIE_TRY(const std::vector<Value> items, evaluator.iterate(arguments.positional[0]));
  std::string text;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!items[i].is_text()) {
      return evaluator.error("{}: item {}: expected a string, got {}", name, i,
                             type_name(items[i]));
    }
    if (!evaluator.heap().reserve(text.size() + self.size() + items[i].text.size())) break;
    if (i > 0) text.append(self);
    text.append(items[i].text);
  }
  return evaluator.heap().own(std::move(text));
}

Result<Value> partitioned(Evaluator& evaluator, std::string_view self, std::string_view name,
                          const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check(name, arguments, {"sep"}));
  COLLIE_TRY(const auto by, optional_text(evaluator, name, arguments, 0, "sep"));
  if (!by || by->empty()) return evaluator.error("{} needs a separator", name);
  const bool from_right = name == "rpartition";
  const std::size_t place = from_right ? self.rfind(*by) : self.find(*by);
  std::vector<std::string_view> parts = {self, "", ""};
  if (place != self.npos) {
    parts = {self.substr(0, place), *by, self.substr(place + by->size())};
  } else if (from_right) {
    parts = {"", "", self};
  }
  return owned_list(evaluator.heap(), parts, Flavor::tuple);
}

Result<Value> without_affix(Evaluator& evaluator, std::string_view self, std::string_view name,
                            const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check(name, arguments, {"affix"}));
  COLLIE_TRY(const auto affix, optional_text(evaluator, name, arguments, 0, "affix"));
  if (!affix) return evaluator.error("{} needs a string", name);
  if (name == "removeprefix" && self.starts_with(*affix)) self.remove_prefix(affix->size());
  if (name == "removesuffix" && self.ends_with(*affix)) self.remove_suffix(affix->size());
  return text_value(self);
}

Result<Value> justified(Evaluator& evaluator, std::string_view self, std::string_view name,
                        const Arguments& arguments) {
  COLLIE_TRY_VOID(evaluator.check(name, arguments, {"width", "fillchar"}));
  COLLIE_TRY(const std::int64_t width, integer_argument(evaluator, name, arguments, 0, "width", 0));
  COLLIE_TRY(const std::string_view fill,
             text_argument(evaluator, name, arguments, 1, "fillchar", name == "zfill" ? "0" : " "));
  if (length_of(fill) != 1) return evaluator.error("{}: fill with one character", name);
  const auto missing = width - static_cast<std::int64_t>(length_of(self));
  if (missing <= 0) return text_value(self);
  Heap& heap = evaluator.heap();
  if (width > INT32_MAX || !heap.reserve(self.size() + static_cast<std::size_t>(missing) * 4)) {
    return evaluator.error("{}: width {} is too large", name, width);
  }
  // Python's center() puts the odd one to the left where the width is odd.
  const std::int64_t left = name == "ljust"    ? 0
                            : name == "center" ? missing / 2 + (missing & width & 1)
                                               : missing;
  std::string text;
  const bool sign = name == "zfill" && (self.starts_with('-') || self.starts_with('+'));
  if (sign) text.append(self.substr(0, 1));
  for (std::int64_t i = 0; i < left; ++i) text.append(fill);
  text.append(self.substr(sign ? 1 : 0));
  for (std::int64_t i = left; i < missing; ++i) text.append(fill);
  return heap.own(std::move(text));
}

struct TextMethod {
  std::string_view name;
  MethodFunction method;
};
constexpr std::array<TextMethod, 37> methods = {{
    {"strip", stripped},
    {"lstrip", stripped},
    {"rstrip", stripped},
    {"split", split_up},
    {"rsplit", split_up},
    {"splitlines", lines},
    {"startswith", affixed},
    {"endswith", affixed},
    {"find", searched},
    {"rfind", searched},
    {"index", searched},
    {"rindex", searched},
    {"count", searched},
    {"replace", replaced},
    {"upper", cased},
    {"lower", cased},
    {"capitalize", cased},
    {"title", cased},
    {"isspace", asked},
    {"isalpha", asked},
    {"isupper", asked},
    {"islower", asked},
    {"isalnum", asked},
    {"isdigit", asked},
    {"isdecimal", asked},
    {"isnumeric", asked},
    {"join", joined},
    {"partition", partitioned},
    {"rpartition", partitioned},
    {"removeprefix", without_affix},
    {"removesuffix", without_affix},
    {"ljust", justified},
    {"rjust", justified},
    {"center", justified},
    {"zfill", justified},
    {"format", nullptr},
    {"encode", nullptr},
}};

const TextMethod* find_method(std::string_view name) {
  const auto found = std::find_if(methods.begin(), methods.end(),
                                  [&](const TextMethod& entry) { return entry.name == name; });
  return found == methods.end() ? nullptr : found;
}

}  // namespace

bool is_text_method(std::string_view name) {
  return find_method(name) != nullptr;
}

Result<Value> call_text_method(Evaluator& evaluator, const Value& self, std::string_view name,
                               const Arguments& arguments) {
  const TextMethod* entry = find_method(name);
  if (entry == nullptr || entry->method == nullptr) {
    return evaluator.unsupported(fmt::format("the method '{}' of a string", one_line(name)));
  }
  evaluator.heap().charge(self.text.size());
  return entry->method(evaluator, self.text, name, arguments);
}

}  // namespace collie::chat
