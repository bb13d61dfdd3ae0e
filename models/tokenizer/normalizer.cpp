#include "models/tokenizer/normalizer.hpp"

#include <utf8proc.h>

#include "models/tokenizer/unicode_forms.hpp"
#include "models/tokenizer/utf8.hpp"
#include "runtime/limits.hpp"

namespace collie::tok {
namespace {

// Rust's char::to_lowercase, which knows a newer Unicode edition than utf8proc.
char32_t lowercase(char32_t value) {
  switch (value) {
    case 0x1C89:
      return 0x1C8A;
    case 0xA7CB:
      return 0x264;
    case 0xA7DC:
      return 0x19B;
    case 0xA7CC:
    case 0xA7CE:
    case 0xA7D2:
    case 0xA7D4:
    case 0xA7DA:
      return value + 1;
    default:
      break;
  }
  if (value >= 0x10D50 && value <= 0x10D65) return value + 0x20;
  if (value >= 0x16EA0 && value <= 0x16EB8) return value + 0x1B;
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(value)));
}

void append_lowercase(std::string_view text, std::string& out) {
  for (std::size_t position = 0; position < text.size();) {
    const CodePoint point = code_point_at(text, position);
    if (point.value == 0x130) {
      out.append("i\xCC\x87");  // the only full lowercase mapping that is not one code point
    } else {
      append_code_point(out, lowercase(point.value));
    }
    position += point.bytes;
  }
}

std::string_view strip(std::string_view text, bool left, bool right) {
  while (left && !text.empty()) {
    const CodePoint point = code_point_at(text, 0);
    if (!is_white_space(point.value)) break;
    text.remove_prefix(point.bytes);
  }
  while (right && !text.empty()) {
    const CodePoint point = code_point_before(text, text.size());
    if (!is_white_space(point.value)) break;
    text.remove_suffix(point.bytes);
  }
  return text;
}

}  // namespace

Result<Pattern> parse_pattern(const JsonNode& node) {
  if (const auto literal = node.find("String")) {
    COLLIE_TRY(const std::string_view text, literal->string());
    return Pattern::literal(std::string(text));
  }
  const auto expression = node.find("Regex");
  if (!expression) return node.error(ErrorCode::invalid_file, "expected 'String' or 'Regex'");
  COLLIE_TRY(const std::string_view text, expression->string());
  auto pattern = Pattern::regex(text);
  if (!pattern) {
    return expression->error(pattern.error().code, "unsupported pattern: {}",
                             pattern.error().message);
  }
  return pattern;
}

Result<Normalizer> Normalizer::parse(const JsonNode& node) {
  Normalizer normalizer;
  COLLIE_TRY_VOID(normalizer.add(node));
  return normalizer;
}

Status Normalizer::add(const JsonNode& node) {
  COLLIE_TRY(const std::string_view type, node.string_at("type"));
  if (type == "Sequence") {
    COLLIE_TRY(const JsonNode children, node.at("normalizers"));
    COLLIE_TRY(const std::vector<JsonNode> nodes, children.array());
    for (const JsonNode& child : nodes) COLLIE_TRY_VOID(add(child));
    return ok_status();
  }
  if (steps_.size() >= limits::tokenizer_steps_max) {
    return node.error(ErrorCode::unsupported, "more than {} normalizers",
                      limits::tokenizer_steps_max);
  }
  Step step{};
  if (type == "NFC") {
    step.kind = Kind::nfc;
  } else if (type == "NFD") {
    step.kind = Kind::nfd;
  } else if (type == "NFKC") {
    step.kind = Kind::nfkc;
  } else if (type == "NFKD") {
    step.kind = Kind::nfkd;
  } else if (type == "Lowercase") {
    step.kind = Kind::lowercase;
  } else if (type == "Prepend") {
    step.kind = Kind::prepend;
    COLLIE_TRY(step.content, node.string_at("prepend"));
  } else if (type == "Replace") {
    step.kind = Kind::replace;
    COLLIE_TRY(step.content, node.string_at("content"));
    COLLIE_TRY(const JsonNode pattern, node.at("pattern"));
    COLLIE_TRY(step.pattern, parse_pattern(pattern));
  } else if (type == "Strip") {
    step.kind = Kind::strip;
    COLLIE_TRY(step.strip_left, node.boolean_or("strip_left", true));
    COLLIE_TRY(step.strip_right, node.boolean_or("strip_right", true));
  } else {
    return node.error(ErrorCode::unsupported, "unsupported normalizer type {}", excerpt(type));
  }
  if (step.content.size() > limits::token_bytes_max) {
    return node.error(ErrorCode::invalid_file, "content longer than {} bytes",
                      limits::token_bytes_max);
  }
  steps_.push_back(std::move(step));
  return ok_status();
}

std::string_view Normalizer::apply(std::string_view text, std::string& buffer) const {
  const std::size_t bytes_max =
      text.size() * limits::normalizer_growth_max + limits::token_bytes_max;
  std::string next;
  for (const Step& step : steps_) {
    next.clear();
    if (!run(step, text, bytes_max, next) || next.size() > bytes_max) continue;
    buffer.swap(next);
    text = buffer;
  }
  return text;
}

bool Normalizer::run(const Step& step, std::string_view text, std::size_t bytes_max,
                     std::string& out) {
  switch (step.kind) {
    case Kind::nfc:
      return to_unicode_form(UnicodeForm::nfc, text, out);
    case Kind::nfd:
      return to_unicode_form(UnicodeForm::nfd, text, out);
    case Kind::nfkc:
      return to_unicode_form(UnicodeForm::nfkc, text, out);
    case Kind::nfkd:
      return to_unicode_form(UnicodeForm::nfkd, text, out);
    case Kind::lowercase:
      append_lowercase(text, out);
      return true;
    case Kind::prepend:
      if (text.empty()) return false;
      out.append(step.content).append(text);
      return true;
    case Kind::replace:
      for_each_span(step.pattern, text, [&](Span span, bool is_match) {
        if (out.size() > bytes_max) return;
        out.append(is_match ? std::string_view(step.content)
                            : text.substr(span.begin, span.end - span.begin));
      });
      return true;
    case Kind::strip:
      out.append(strip(text, step.strip_left, step.strip_right));
      return true;
  }
  return false;
}

}  // namespace collie::tok
