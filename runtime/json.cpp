#include "runtime/json.hpp"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <unordered_set>

#include "runtime/file.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

constexpr std::size_t path_bytes_max = 160;
constexpr std::size_t int64_digits = 19;

// Builds the document from simdjson's; remembers the way to the first duplicate key.
class Converter {
 public:
  bool convert(const simdjson::dom::element& element, Json& out);
  const std::string& duplicate_path() const { return path_; }

 private:
  bool convert_array(const simdjson::dom::array& array, Json& out);
  bool convert_object(const simdjson::dom::object& object, Json& out);
  bool fail_below(std::string_view step) {
    if (path_.size() < path_bytes_max) path_.insert(0, fmt::format("{}.", step));
    return false;
  }
  std::string path_;
};

bool Converter::convert(const simdjson::dom::element& element, Json& out) {
  using simdjson::dom::element_type;
  switch (element.type()) {
    case element_type::ARRAY:
      return convert_array(element.get_array().value_unsafe(), out);
    case element_type::OBJECT:
      return convert_object(element.get_object().value_unsafe(), out);
    case element_type::INT64:
      out = element.get_int64().value_unsafe();
      return true;
    case element_type::UINT64:
      out = element.get_uint64().value_unsafe();
      return true;
    case element_type::DOUBLE:
      out = element.get_double().value_unsafe();
      return true;
    case element_type::STRING:
      out = std::string(element.get_string().value_unsafe());
      return true;
    case element_type::BOOL:
      out = element.get_bool().value_unsafe();
      return true;
    case element_type::NULL_VALUE:
      out = nullptr;
      return true;
  }
  return true;
}

bool Converter::convert_array(const simdjson::dom::array& array, Json& out) {
  out = Json::array();
  auto& values = out.get_ref<Json::array_t&>();
  for (const simdjson::dom::element child : array) {
    values.emplace_back();
    if (!convert(child, values.back())) return fail_below(std::to_string(values.size() - 1));
  }
  return true;
}

// ordered_json's own insertion looks through all keys each time: quadratic for a hostile file.
bool Converter::convert_object(const simdjson::dom::object& object, Json& out) {
  out = Json::object();
  auto& members = out.get_ref<Json::object_t&>();
  std::unordered_set<std::string_view> seen;
  for (const auto [key, child] : object) {
    if (!seen.insert(key).second) {
      path_ = key;
      return false;
    }
    members.emplace_back(std::string(key), Json());
    if (!convert(child, members.back().second)) return fail_below(key);
  }
  return true;
}

// simdjson does not say where a document breaks; nlohmann's event reader does.
class BreakFinder {
 public:
  bool null() { return true; }
  bool boolean(bool) { return true; }
  bool number_integer(Json::number_integer_t) { return true; }
  bool number_unsigned(Json::number_unsigned_t) { return true; }
  bool number_float(Json::number_float_t, const std::string&) { return true; }
  bool string(std::string&) { return true; }
  bool binary(Json::binary_t&) { return true; }
  bool start_object(std::size_t) {
    keys_.emplace_back();
    return true;
  }
  bool key(std::string& key) {
    keys_.back() = key;
    return true;
  }
  bool end_object() {
    keys_.pop_back();
    return true;
  }
  bool start_array(std::size_t) { return true; }
  bool end_array() { return true; }
  bool parse_error(std::size_t position, const std::string&, const Json::exception&) {
    position_ = position;
    return false;
  }

  // " at line 3, column 7, in a.b", or nothing where the document does not break.
  std::string where(std::string_view text) const {
    if (position_ == 0) return {};
    const std::string_view before = text.substr(0, position_ - 1);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::size_t line_begin = before.rfind('\n') + 1;  // npos + 1 is 0
    std::string path;
    for (const std::string& key : keys_) path += (path.empty() ? "" : ".") + key;
    std::string out = fmt::format(" at line {}, column {}", line, before.size() - line_begin + 1);
    return path.empty() ? out : out + ", in " + quoted_name(path);
  }

 private:
  std::size_t position_ = 0;  // counted from 1
  std::vector<std::string> keys_;
};

std::string_view reason_of(simdjson::error_code code) {
  switch (code) {
    case simdjson::DEPTH_ERROR:
      return "nested too deeply";
    case simdjson::UTF8_ERROR:
      return "invalid UTF-8";
    case simdjson::NUMBER_ERROR:
      return "a number that cannot be read";
    case simdjson::EMPTY:
      return "the document is empty";
    case simdjson::UNESCAPED_CHARS:
      return "a control character in a string";
    case simdjson::UNCLOSED_STRING:
      return "a string without its end";
    case simdjson::STRING_ERROR:
      return "a string with a wrong escape";
    case simdjson::MEMALLOC:
      return "not enough memory to read it";
    default:
      return "wrong structure";
  }
}

Error broken_document(std::string_view text, std::string_view name, simdjson::error_code code) {
  BreakFinder finder;
  Json::sax_parse(text.begin(), text.end(), &finder);
  return make_error(ErrorCode::invalid_file, "{}: not valid JSON: {}{}", name, reason_of(code),
                    code == simdjson::DEPTH_ERROR
                        ? fmt::format(" (limit {})", limits::json_depth_max)
                        : finder.where(text));
}

bool is_number_char(char c) {
  return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

bool overflows_int64(std::string_view number) {
  if (number.size() < int64_digits || number.find_first_of(".eE") != number.npos) return false;
  const bool digits =
      number.find_first_not_of("0123456789", number[0] == '-' ? 1 : 0) == number.npos;
  std::int64_t ignored = 0;
  const auto read = std::from_chars(number.data(), number.data() + number.size(), ignored);
  return digits && read.ec == std::errc::result_out_of_range;
}

// Gives integers that 64 bits cannot hold an exponent, which makes them doubles.
std::string widen_integers(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  bool in_string = false;
  for (std::size_t i = 0; i < text.size();) {
    if (in_string || !is_number_char(text[i])) {
      const bool escape = in_string && text[i] == '\\' && i + 1 < text.size();
      if (text[i] == '"') in_string = !in_string;
      out.append(text.substr(i, escape ? 2 : 1));
      i += escape ? 2 : 1;
      continue;
    }
    std::size_t end = i;
    while (end < text.size() && is_number_char(text[end])) ++end;
    const std::string_view number = text.substr(i, end - i);
    out.append(number);
    if (overflows_int64(number)) out.append("e0");
    i = end;
  }
  return out;
}

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view name, std::size_t max_bytes) {
  if (text.size() > max_bytes) {
    return make_error(ErrorCode::invalid_file, "{}: JSON of {} bytes is over the limit of {}", name,
                      text.size(), max_bytes);
  }
  simdjson::dom::parser parser;
  simdjson::error_code code =
      parser.allocate(std::max<std::size_t>(text.size(), 1), limits::json_depth_max + 1);
  simdjson::dom::element root;
  if (code == simdjson::SUCCESS) code = parser.parse(text.data(), text.size()).get(root);
  if (code == simdjson::NUMBER_ERROR) {
    const std::string widened = widen_integers(text);
    if (widened.size() != text.size()) code = parser.parse(widened).get(root);
  }
  if (code != simdjson::SUCCESS) return broken_document(text, name, code);
  Converter converter;
  Json json;
  if (!converter.convert(root, json)) {
    return make_error(ErrorCode::invalid_file, "{}: key {} appears twice; remove one", name,
                      quoted_name(converter.duplicate_path()));
  }
  return json;
}

Result<Json> read_json(const std::string& path, std::size_t max_bytes) {
  COLLIE_TRY(const std::string text, read_file(path, max_bytes));
  return parse_json(text, path, max_bytes);
}

std::string dump_json(const Json& json, int indent) {
  return json.dump(indent > 0 ? indent : -1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace collie
