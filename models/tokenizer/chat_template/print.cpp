#include "models/tokenizer/chat_template/print.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "models/tokenizer/chat_template/text.hpp"
#include "models/tokenizer/utf8.hpp"

namespace collie::chat {

std::string number_text(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{}", number);
  if (text.find_first_of(".e") == text.npos) text += ".0";
  return text;
}

namespace {

std::string text_repr(std::string_view text) {
  const bool doubled = text.find('\'') != text.npos && text.find('"') == text.npos;
  const char quote = doubled ? '"' : '\'';
  std::string out(1, quote);
  for (std::size_t place = 0; place < text.size();) {
    const auto [value, bytes] = tok::code_point_at(text, place);
    const std::string_view point = text.substr(place, bytes);
    place += bytes;
    if (value == '\\' || value == static_cast<unsigned char>(quote)) {
      out.append("\\").append(point);
    } else if (value == '\n') {
      out.append("\\n");
    } else if (value == '\r') {
      out.append("\\r");
    } else if (value == '\t') {
      out.append("\\t");
    } else if (is_printable(value)) {
      out.append(point);
    } else {
      const auto code = static_cast<std::uint32_t>(value);
      const char* form = code < 0x100 ? "\\x{:02x}" : code < 0x10000 ? "\\u{:04x}" : "\\U{:08x}";
      fmt::format_to(std::back_inserter(out), fmt::runtime(form), code);
    }
  }
  return out + quote;
}

class Printer {
 public:
  explicit Printer(Heap& heap) : heap_(heap) {}

  std::optional<std::string> take() {
    return printable_ ? std::optional(std::move(out_)) : std::nullopt;
  }

  void repr(const Value& value) {
    heap_.charge(value.text.size());
    if (heap_.exhausted() || !heap_.reserve(out_.size())) return;
    switch (value.kind) {
      case Kind::undefined:
        out_.append("Undefined");
        break;
      case Kind::none:
        out_.append("None");
        break;
      case Kind::boolean:
        out_.append(value.boolean ? "True" : "False");
        break;
      case Kind::integer:
        out_.append(fmt::format("{}", value.integer));
        break;
      case Kind::number:
        out_.append(number_text(value.number));
        break;
      case Kind::text:
        out_.append(value.safe ? "Markup(" : "").append(text_repr(value.text));
        if (value.safe) out_.push_back(')');
        break;
      case Kind::sequence:
        sequence(*value.sequence);
        break;
      case Kind::dict:
        dict(*value.dict);
        break;
      default:
        printable_ = false;
        break;
    }
  }

 private:
  void sequence(const Sequence& value) {
    if (value.flavor == Flavor::generator || value.is_range) {
      printable_ = false;
      return;
    }
    const bool tuple = value.flavor == Flavor::tuple || value.flavor == Flavor::group;
    static constexpr std::string_view opening[] = {
        "[", "(", "(", "dict_keys([", "dict_values([", "dict_items(["};
    out_.append(opening[static_cast<std::size_t>(value.flavor)]);
    for (std::size_t i = 0; i < value.items.size(); ++i) {
      if (i > 0) out_.append(", ");
      repr(value.items[i]);
    }
    if (tuple) {
      out_.append(value.items.size() == 1 ? ",)" : ")");
    } else {
      out_.append(value.flavor == Flavor::list ? "]" : "])");
    }
  }

  void dict(const Dict& value) {
    out_.push_back('{');
    bool first = true;
    for (const auto& [key, item] : value.items) {
      if (!first) out_.append(", ");
      first = false;
      repr(key);
      out_.append(": ");
      repr(item);
    }
    out_.push_back('}');
  }

  Heap& heap_;
  std::string out_;
  bool printable_ = true;
};

}  // namespace

std::optional<std::string> to_repr(Heap& heap, const Value& value) {
  Printer printer(heap);
  printer.repr(value);
  return printer.take();
}

std::optional<std::string> to_text(Heap& heap, const Value& value) {
  if (value.is_text()) return std::string(value.text);
  if (value.is_undefined()) return std::string();
  return to_repr(heap, value);
}

}  // namespace collie::chat
