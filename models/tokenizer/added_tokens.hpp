// The "added_tokens" of tokenizer.json: strings that are found in the text before anything else
// happens (or, when "normalized", after normalization) and become one id each.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "models/tokenizer/json_node.hpp"
#include "models/tokenizer/normalizer.hpp"
#include "models/tokenizer/vocabulary.hpp"
#include "runtime/result.hpp"

namespace collie::tok {

struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space on its left
  bool rstrip = false;       // takes the white space on its right
  bool normalized = false;   // is looked for in the normalized text
  bool special = false;
};

// Finds the leftmost, then longest of a set of strings.
class TokenMatcher {
 public:
  struct Piece {
    std::size_t begin;
    std::size_t end;
    const AddedToken* token;  // null: ordinary text
  };

  void add(std::string content, const AddedToken* token);
  void finish();

  // Cuts text into tokens and what lies between them; nothing empty.
  std::vector<Piece> split(std::string_view text) const;

 private:
  using Entry = std::pair<std::string, const AddedToken*>;

  const Entry* match_at(std::string_view text, std::size_t position) const;
  static bool touches_word(std::string_view text, std::size_t begin, std::size_t end);

  std::vector<Entry> entries_;  // sorted by content
  std::pair<std::uint32_t, std::uint32_t> by_first_byte_[256] = {};
};

class AddedTokens {
 public:
  AddedTokens() = default;
  AddedTokens(AddedTokens&&) = default;  // matchers point into the map, whose nodes stay put
  AddedTokens& operator=(AddedTokens&&) = default;

  // An added token that the vocabulary also has must have the same id there; another token's id is
  // refused.
  static Result<AddedTokens> parse(const JsonNode& root, const Vocabulary& vocabulary,
                                   const Normalizer& normalizer);

  const TokenMatcher& in_text() const { return in_text_; }
  const TokenMatcher& in_normalized_text() const { return in_normalized_text_; }

  const AddedToken* find(std::int32_t id) const;
  std::optional<std::int32_t> find(std::string_view content) const;
  std::int32_t id_end() const { return id_end_; }

 private:
  static Result<AddedToken> parse_token(const JsonNode& node);
  Status add(const JsonNode& node, AddedToken token, const Vocabulary& vocabulary);

  std::unordered_map<std::int32_t, AddedToken> by_id_;
  std::unordered_map<std::string, std::int32_t> by_content_;
  TokenMatcher in_text_;
  TokenMatcher in_normalized_text_;
  std::int32_t id_end_ = 0;
};

}  // namespace collie::tok
