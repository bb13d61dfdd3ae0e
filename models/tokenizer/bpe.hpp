// The "BPE" model of tokenizer.json: merges of neighbouring symbols in rank order, leftmost first
// (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909), with byte fallback and unknown tokens.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "models/tokenizer/json_node.hpp"
#include "models/tokenizer/merge_table.hpp"
#include "models/tokenizer/vocabulary.hpp"
#include "models/tokenizer/word_cache.hpp"
#include "runtime/result.hpp"

namespace collie::tok {

// Memory that one encoding thread works with. It remembers pieces, so it belongs to one model.
struct BpeScratch {
  struct Symbol {
    std::int32_t id;
    std::int32_t previous;  // positions; -1 is none
    std::int32_t next;
  };
  struct Candidate {
    std::int32_t rank;
    std::int32_t position;
    std::int32_t id;
  };
  WordCache words;
  std::vector<std::int32_t> ids;
  std::vector<Merge> merges;
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
};

class BpeModel {
 public:
  // byte_level: pieces are raw bytes, the vocabulary is written in the byte alphabet.
  static Result<BpeModel> parse(const JsonNode& model, bool byte_level);

  const Vocabulary& vocabulary() const { return vocabulary_; }

  // Appends the ids of one piece; O(n log n) in its length.
  void encode(std::string_view piece, BpeScratch& scratch, std::vector<std::int32_t>& out) const;

 private:
  Status parse_options(const JsonNode& model);
  Status parse_vocabulary(const JsonNode& model);
  Status parse_merges(const JsonNode& model);
  Status add_merge(const JsonNode& merges, std::size_t rank, std::string_view left,
                   std::string_view right);
  void prepare(bool byte_level);

  void encode_word(std::string_view word, BpeScratch& scratch,
                   std::vector<std::int32_t>& out) const;
  void encode_new_word(std::string_view word, BpeScratch& scratch,
                       std::vector<std::int32_t>& out) const;
  bool symbols_of_bytes(std::string_view word, std::vector<std::int32_t>& ids) const;
  void symbols_of_characters(std::string_view word, std::vector<std::int32_t>& ids) const;
  bool fall_back_to_bytes(std::string_view character, std::vector<std::int32_t>& ids) const;
  void merge_short(BpeScratch& scratch) const;
  void merge_long(BpeScratch& scratch) const;

  Vocabulary vocabulary_;
  MergeTable merges_;
  std::optional<std::int32_t> unknown_id_;
  bool fuse_unknown_ = false;
  bool byte_fallback_ = false;
  bool ignore_merges_ = false;
  bool byte_level_ = false;
  bool cut_at_marker_ = false;                    // no token holds U+2581 after another character
  std::array<std::int32_t, 256> byte_ids_{};      // of a byte's character of the alphabet, or -1
  std::array<std::int32_t, 256> fallback_ids_{};  // of <0xNN>, or -1
};

}  // namespace collie::tok
