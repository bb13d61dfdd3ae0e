#include "models/tokenizer/decoder.hpp"

#include <algorithm>
#include <charconv>

#include "models/tokenizer/byte_alphabet.hpp"
#include "models/tokenizer/normalizer.hpp"
#include "models/tokenizer/utf8.hpp"
#include "runtime/limits.hpp"

namespace collie::tok {

std::optional<char> fallback_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return std::nullopt;
  unsigned byte = 0;
  const char* const end = token.data() + 5;
  const auto parsed = std::from_chars(token.data() + 3, end, byte, 16);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return static_cast<char>(byte);
}

Result<Decoder> Decoder::parse(const JsonNode& node) {
  Decoder result;
  result.present_ = true;
  COLLIE_TRY_VOID(result.add(node));
  return result;
}

Status Decoder::add(const JsonNode& node) {
  COLLIE_TRY(const std::string_view type, node.string_at("type"));
  if (type == "Sequence") {
    COLLIE_TRY(const JsonNode children, node.at("decoders"));
    COLLIE_TRY(const std::vector<JsonNode> nodes, children.array());
    for (const JsonNode& child : nodes) COLLIE_TRY_VOID(add(child));
    return ok_status();
  }
  if (steps_.size() >= limits::tokenizer_steps_max) {
    return node.error(ErrorCode::unsupported, "more than {} decoders", limits::tokenizer_steps_max);
  }
  COLLIE_TRY(Step step, parse_step(node, type));
  steps_.push_back(std::move(step));
  return ok_status();
}

Result<Decoder::Step> Decoder::parse_step(const JsonNode& node, std::string_view type) {
  Step step{};
  if (type == "ByteLevel") {
    step.kind = Kind::byte_level;
  } else if (type == "ByteFallback") {
    step.kind = Kind::byte_fallback;
  } else if (type == "Fuse") {
    step.kind = Kind::fuse;
  } else if (type == "Replace") {
    step.kind = Kind::replace;
    COLLIE_TRY(step.content, node.string_at("content"));
    COLLIE_TRY(const JsonNode pattern, node.at("pattern"));
    COLLIE_TRY(step.pattern, parse_pattern(pattern));
  } else if (type == "Strip") {
    step.kind = Kind::strip;
    COLLIE_TRY(step.content, node.string_at("content"));
    const auto bytes_max = static_cast<std::int64_t>(limits::token_bytes_max);
    COLLIE_TRY(const JsonNode start, node.at("start"));
    COLLIE_TRY(step.start, start.integer(0, bytes_max));
    COLLIE_TRY(const JsonNode stop, node.at("stop"));
    COLLIE_TRY(step.stop, stop.integer(0, bytes_max));
  } else if (type == "Metaspace") {
    step.kind = Kind::metaspace;
    COLLIE_TRY(step.content, node.string_at("replacement"));
    COLLIE_TRY(const bool add_prefix_space, node.boolean_or("add_prefix_space", true));
    COLLIE_TRY(const std::string_view scheme,
               node.string_or("prepend_scheme", add_prefix_space ? "always" : "never"));
    step.drop_first = scheme != "never";
  } else {
    return node.error(ErrorCode::unsupported, "unsupported decoder type {}", excerpt(type));
  }
  if (step.content.empty() && (step.kind == Kind::strip || step.kind == Kind::metaspace)) {
    return node.error(ErrorCode::invalid_file, "its character is empty");
  }
  if (step.content.size() > limits::token_bytes_max) {
    return node.error(ErrorCode::invalid_file, "content longer than {} bytes",
                      limits::token_bytes_max);
  }
  return step;
}

bool Decoder::is_byte_level() const {
  return steps_.size() == 1 && steps_[0].kind == Kind::byte_level;
}

void Decoder::append_byte_level(const std::string& token, bool is_added, std::string& bytes) {
  if (is_added || !append_as_bytes(bytes, token)) bytes.append(token);
}

std::string Decoder::decode(std::vector<DecodedToken> tokens) const {
  for (const Step& step : steps_) run(step, tokens);
  std::string out;
  for (const DecodedToken& token : tokens) {
    if (!present_ && &token != &tokens.front()) out.push_back(' ');
    out.append(token.text);
  }
  return out;
}

void Decoder::run(const Step& step, std::vector<DecodedToken>& tokens) {
  switch (step.kind) {
    case Kind::byte_level: {
      std::string bytes;
      for (const DecodedToken& token : tokens) append_byte_level(token.text, token.is_added, bytes);
      tokens.assign(1, {});
      append_with_replacement(tokens[0].text, bytes);
      return;
    }
    case Kind::replace:
      for (DecodedToken& token : tokens) replace(step, token.text);
      return;
    case Kind::byte_fallback:
      return join_bytes(tokens);
    case Kind::fuse:
      return fuse(tokens);
    case Kind::strip:
      for (DecodedToken& token : tokens) strip(step, token.text);
      return;
    case Kind::metaspace:
      return metaspace(step, tokens);
  }
}

void Decoder::fuse(std::vector<DecodedToken>& tokens) {
  std::string all;
  for (const DecodedToken& token : tokens) all.append(token.text);
  tokens.assign(1, DecodedToken{std::move(all), false});
}

void Decoder::replace(const Step& step, std::string& text) {
  std::string out;
  // A hostile pattern could match everywhere; the text may not outgrow the normalizers' bound.
  const std::size_t bytes_max =
      text.size() * limits::normalizer_growth_max + limits::token_bytes_max;
  for_each_span(step.pattern, text, [&](Span span, bool is_match) {
    if (out.size() > bytes_max) return;
    out.append(is_match ? std::string_view(step.content)
                        : std::string_view(text).substr(span.begin, span.end - span.begin));
  });
  if (out.size() <= bytes_max) text = std::move(out);
}

void Decoder::strip(const Step& step, std::string& text) {
  std::string_view rest = text;
  for (std::size_t i = 0; i < step.start && rest.starts_with(step.content); ++i) {
    rest.remove_prefix(step.content.size());
  }
  for (std::size_t i = 0; i < step.stop && rest.ends_with(step.content); ++i) {
    rest.remove_suffix(step.content.size());
  }
  text = std::string(rest);
}

void Decoder::metaspace(const Step& step, std::vector<DecodedToken>& tokens) {
  for (DecodedToken& token : tokens) {
    std::string out;
    const bool drop = step.drop_first && &token == &tokens.front();
    for (std::string_view rest = token.text; !rest.empty();) {
      if (rest.starts_with(step.content)) {
        if (!drop) out.push_back(' ');
        rest.remove_prefix(step.content.size());
      } else {
        out.push_back(rest[0]);
        rest.remove_prefix(1);
      }
    }
    token.text = std::move(out);
  }
}

// A run of byte tokens is text where it is valid UTF-8, else one U+FFFD per byte.
void Decoder::join_bytes(std::vector<DecodedToken>& tokens) {
  std::vector<DecodedToken> out;
  std::string bytes;
  const auto flush = [&] {
    if (bytes.empty()) return;
    if (is_valid_utf8(bytes)) {
      out.push_back({bytes, false});
    } else {
      for (std::size_t i = 0; i < bytes.size(); ++i) {
        out.push_back({std::string(replacement_character), false});
      }
    }
    bytes.clear();
  };
  for (DecodedToken& token : tokens) {
    if (const auto byte = fallback_byte(token.text)) {
      bytes.push_back(*byte);
    } else {
      flush();
      out.push_back(std::move(token));
    }
  }
  flush();
  tokens = std::move(out);
}

}  // namespace collie::tok
