// json.dumps(): what transformers puts in place of jinja2's tojson.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "models/tokenizer/chat_template/print.hpp"
#include "models/tokenizer/utf8.hpp"

namespace collie::chat {
namespace {

void append_escape(std::string& out, std::uint32_t unit) {
  fmt::format_to(std::back_inserter(out), "\\u{:04x}", unit);
}

void append_code_point(std::string& out, char32_t value, std::string_view point, bool ascii) {
  static constexpr std::string_view controls = "\b\t\n\f\r";
  static constexpr std::string_view letters = "btnfr";
  if (value == '"' || value == '\\') {
    out.append("\\").append(point);
  } else if (value < 0x20) {
    const std::size_t known = controls.find(static_cast<char>(value));
    if (known == controls.npos) {
      append_escape(out, static_cast<std::uint32_t>(value));
    } else {
      out.append("\\").append(letters.substr(known, 1));
    }
  } else if (ascii && value > 0x7E) {
    const auto code = static_cast<std::uint32_t>(value);
    if (code < 0x10000) {
      append_escape(out, code);
    } else {
      append_escape(out, 0xD800 + ((code - 0x10000) >> 10U));
      append_escape(out, 0xDC00 + ((code - 0x10000) & 0x3FFU));
    }
  } else {
    out.append(point);
  }
}

class Writer {
 public:
  Writer(Heap& heap, const JsonStyle& style) : heap_(heap), style_(style) {}

  bool write(const Value& value, int level) {
    heap_.charge(value.text.size());
    if (heap_.exhausted() || !heap_.reserve(out_.size())) return true;
    switch (value.kind) {
      case Kind::none:
        out_.append("null");
        return true;
      case Kind::boolean:
        out_.append(value.boolean ? "true" : "false");
        return true;
      case Kind::integer:
        out_.append(fmt::format("{}", value.integer));
        return true;
      case Kind::number:
        out_.append(number(value.number));
        return true;
      case Kind::text:
        string(value.text);
        return true;
      case Kind::sequence:
        return sequence(*value.sequence, level);
      case Kind::dict:
        return dict(*value.dict, level);
      default:
        return false;
    }
  }

  std::string take() { return std::move(out_); }

 private:
  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return number_text(value);
  }

  void string(std::string_view text) {
    out_.push_back('"');
    for (std::size_t place = 0; place < text.size();) {
      const auto [value, bytes] = tok::code_point_at(text, place);
      append_code_point(out_, value, text.substr(place, bytes), style_.ascii);
      place += bytes;
    }
    out_.push_back('"');
  }

  void new_line(int level) {
    if (!style_.indent) return;
    out_.push_back('\n');
    for (int i = 0; i < level && heap_.reserve(out_.size()); ++i) out_.append(*style_.indent);
  }

  bool sequence(const Sequence& value, int level) {
    if (value.flavor > Flavor::group || value.is_range) return false;
    if (value.items.empty()) {
      out_.append("[]");
      return true;
    }
    out_.push_back('[');
    for (std::size_t i = 0; i < value.items.size(); ++i) {
      if (i > 0) out_.append(style_.item_separator);
      new_line(level + 1);
      if (!write(value.items[i], level + 1)) return false;
    }
    new_line(level);
    out_.push_back(']');
    return true;
  }

  bool key(const Value& value) {
    if (value.is_text()) {
      string(value.text);
      return true;
    }
    if (!value.is_numeric() && !value.is(Kind::none)) return false;
    out_.push_back('"');
    const bool written = write(value, 0);
    out_.push_back('"');
    return written;
  }

  bool dict(const Dict& value, int level) {
    if (value.items.empty()) {
      out_.append("{}");
      return true;
    }
    auto items = value.items;
    if (style_.sorted) {
      for (const auto& item : items) {
        if (!comparable(item.first, items.front().first)) return false;
      }
      std::stable_sort(items.begin(), items.end(), [](const auto& left, const auto& right) {
        return compare(left.first, right.first) < 0;
      });
    }
    out_.push_back('{');
    bool first = true;
    for (const auto& [name, item] : items) {
      if (!first) out_.append(style_.item_separator);
      first = false;
      new_line(level + 1);
      if (!key(name)) return false;
      out_.append(style_.key_separator);
      if (!write(item, level + 1)) return false;
    }
    new_line(level);
    out_.push_back('}');
    return true;
  }

  Heap& heap_;
  const JsonStyle& style_;
  std::string out_;
};

}  // namespace

std::optional<std::string> to_json(Heap& heap, const Value& value, const JsonStyle& style) {
  Writer writer(heap, style);
  if (!writer.write(value, 0)) return std::nullopt;
  return writer.take();
}

}  // namespace collie::chat
