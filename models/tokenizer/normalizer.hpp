// The "normalizer" of tokenizer.json: NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace, Strip,
// Sequence.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/json_node.hpp"
#include "models/tokenizer/pattern.hpp"
#include "runtime/result.hpp"

namespace collie::tok {

// {"String": "..."} or {"Regex": "..."}.
Result<Pattern> parse_pattern(const JsonNode& node);

class Normalizer {
 public:
  static Result<Normalizer> parse(const JsonNode& node);

  // text, where nothing changes, else a view of buffer. A step whose result would outgrow
  // limits::normalizer_growth_max is left out: only a hostile file does that.
  std::string_view apply(std::string_view text, std::string& buffer) const;

 private:
  enum class Kind { nfc, nfd, nfkc, nfkd, lowercase, prepend, replace, strip };
  struct Step {
    Kind kind;
    std::string content;
    Pattern pattern;
    bool strip_left = false;
    bool strip_right = false;
  };

  Status add(const JsonNode& node);
  // False where the text stays as it is.
  static bool run(const Step& step, std::string_view text, std::size_t bytes_max, std::string& out);

  std::vector<Step> steps_;
};

}  // namespace collie::tok
