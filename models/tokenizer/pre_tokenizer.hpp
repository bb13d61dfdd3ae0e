// The "pre_tokenizer" of tokenizer.json: ByteLevel, Split, Digits, Metaspace, Sequence. It cuts
// text into the pieces within which the model merges.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/json_node.hpp"
#include "models/tokenizer/pattern.hpp"
#include "runtime/result.hpp"

namespace collie::tok {

// Receives the pieces left to right; a piece lives only during the call and is never empty.
class PieceSink {
 public:
  virtual void piece(std::string_view text) = 0;

 protected:
  ~PieceSink() = default;
};

class PreTokenizer {
 public:
  static Result<PreTokenizer> parse(const JsonNode& node);

  // at_start: this text begins where the user's text begins (Metaspace's prepend_scheme "first").
  void run(std::string_view text, bool at_start, PieceSink& sink) const {
    if (!text.empty()) run_step(0, text, at_start, sink);
  }

  // The last step is ByteLevel: pieces are raw bytes that the model maps to the byte alphabet.
  bool byte_level() const { return byte_level_; }

 private:
  enum class Kind { byte_level, split, metaspace };
  enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };
  enum class Prepend { always, first, never };

  struct Step {
    Kind kind;
    Pattern pattern;
    Behavior behavior = Behavior::isolated;
    bool invert = false;
    bool cuts = true;  // ByteLevel's use_regex, Metaspace's split
    bool add_prefix_space = false;
    Prepend prepend = Prepend::never;
    std::string replacement;
    bool last = false;
  };

  struct FlaggedSpan {
    Span span;
    bool is_match;
  };

  Status add(const JsonNode& node);
  static Result<Step> parse_byte_level(const JsonNode& node);
  static Result<Step> parse_split(const JsonNode& node);
  static Result<Step> parse_metaspace(const JsonNode& node);
  static Result<Behavior> parse_behavior(const JsonNode& node);

  void run_step(std::size_t index, std::string_view text, bool at_start, PieceSink& sink) const;
  void next(std::size_t index, std::string_view text, bool at_start, PieceSink& sink) const;
  void run_byte_level(std::size_t index, std::string_view text, bool at_start,
                      PieceSink& sink) const;
  void run_metaspace(std::size_t index, std::string_view text, bool at_start,
                     PieceSink& sink) const;
  void run_split(std::size_t index, std::string_view text, bool at_start, PieceSink& sink) const;
  static std::vector<Span> merged(const std::vector<FlaggedSpan>& spans, Behavior behavior);

  std::vector<Step> steps_;
  bool byte_level_ = false;
};

}  // namespace collie::tok
