// The "decoder" of tokenizer.json: ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace,
// Sequence. Turns token strings back into text.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/json_node.hpp"
#include "models/tokenizer/pattern.hpp"
#include "runtime/result.hpp"

namespace collie::tok {

struct DecodedToken {
  std::string text;
  bool is_added = false;  // its string is the text itself, never the byte alphabet
};

// The byte of a token that is written <0xNN>.
std::optional<char> fallback_byte(std::string_view token);

class Decoder {
 public:
  // Without a decoder the tokens are joined by single spaces, as in the tokenizers library.
  Decoder() = default;
  static Result<Decoder> parse(const JsonNode& node);

  // The whole decoder is ByteLevel: each token is bytes on its own, and the text is their
  // concatenation, invalid UTF-8 replaced.
  bool is_byte_level() const;
  static void append_byte_level(const std::string& token, bool is_added, std::string& bytes);

  std::string decode(std::vector<DecodedToken> tokens) const;

 private:
  enum class Kind { byte_level, replace, byte_fallback, fuse, strip, metaspace };
  struct Step {
    Kind kind;
    Pattern pattern;
    std::string content;
    std::size_t start = 0;
    std::size_t stop = 0;
    bool drop_first = false;
  };

  Status add(const JsonNode& node);
  static Result<Step> parse_step(const JsonNode& node, std::string_view type);
  static void run(const Step& step, std::vector<DecodedToken>& tokens);
  static void fuse(std::vector<DecodedToken>& tokens);
  static void replace(const Step& step, std::string& text);
  static void strip(const Step& step, std::string& text);
  static void metaspace(const Step& step, std::vector<DecodedToken>& tokens);
  static void join_bytes(std::vector<DecodedToken>& tokens);

  std::vector<Step> steps_;
  bool present_ = false;
};

}  // namespace collie::tok
