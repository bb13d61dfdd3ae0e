// Text <-> token ids, as a Hugging Face tokenizer.json says: byte-level BPE (GPT-2, Llama 3, Qwen)
// and SentencePiece-style BPE with byte fallback (Llama 2). The ids are those of the tokenizers
// library.
//
// A Tokenizer does not change after it is made; its const members may run in several threads at
// once. Ids are int32_t in [0, vocab_size()). Text is UTF-8; each maximal invalid subpart of the
// input counts as one U+FFFD. "truncation" and "padding" of tokenizer.json are not applied.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/result.hpp"

namespace collie {

struct TokenizerTraining {
  int vocabulary_size = 4096;  // special tokens and the 256 bytes included
  // Take the first ids. "<|endoftext|>"-like: never produced from ordinary merges.
  std::vector<std::string> special_tokens = {"<|endoftext|>"};
  // Which of special_tokens they are; empty: none.
  std::string bos_token = "<|endoftext|>";
  std::string eos_token = "<|endoftext|>";
  std::string pad_token = "<|endoftext|>";
};

class Tokenizer {
 public:
  // path: a directory with tokenizer.json (and tokenizer_config.json, special_tokens_map.json), or
  // with GPT-2's vocab.json and merges.txt; or a tokenizer.json, whose neighbours are read as well.
  // Errors: not_found, io, invalid_file (names file and key), unsupported (names the type).
  static Result<Tokenizer> load(const std::filesystem::path& path);

  // The same from memory; name stands for the file in errors. config_json is the text of a
  // tokenizer_config.json or empty.
  static Result<Tokenizer> from_json(std::string_view json, const std::string& name,
                                     std::string_view config_json = {});

  // Learns a byte-level BPE with Llama 3's pre-tokenizer from text, as the tokenizers library's
  // BpeTrainer would: most frequent pair first, ties to the smaller ids. Fewer tokens than asked
  // for result when the text has no more pairs. Errors: invalid_config.
  static Result<Tokenizer> train_byte_level_bpe(std::string_view text,
                                                const TokenizerTraining& training);

  // Writes tokenizer.json, tokenizer_config.json and chat_template.jinja into an existing
  // directory: what was read, byte for byte, or what was trained.
  Status save(const std::filesystem::path& directory) const;

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // add_special_tokens: with what the post-processor puts before and after.
  std::vector<std::int32_t> encode(std::string_view text, bool add_special_tokens = false) const;

  // Ids that are no tokens (negative ones too) are left out. Always valid UTF-8.
  std::string decode(std::span<const std::int32_t> ids, bool skip_special_tokens = false) const;

  std::int32_t vocab_size() const;  // the greatest id + 1

  std::optional<std::int32_t> token_to_id(std::string_view token) const;
  std::optional<std::string> id_to_token(std::int32_t id) const;
  bool is_special(std::int32_t id) const;

  // From tokenizer_config.json, else special_tokens_map.json; nullopt where neither names one.
  std::optional<std::int32_t> bos_id() const;
  std::optional<std::int32_t> eos_id() const;
  std::optional<std::int32_t> pad_id() const;

  // The texts of the files beside tokenizer.json; empty where there was none.
  std::string_view tokenizer_config_json() const;
  std::string_view special_tokens_map_json() const;
  std::string_view chat_template_jinja() const;

 private:
  friend class TokenStream;
  friend class TokenizerLoader;
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Decodes ids as they are generated. What push() and finally flush() return, joined, is what
// decode() returns for all ids; no piece ends inside a UTF-8 sequence. (One exception: after a
// SentencePiece byte run that turns out invalid, decode() also replaces that run's valid
// beginning.) The tokenizer must outlive the stream.
class TokenStream {
 public:
  explicit TokenStream(const Tokenizer& tokenizer, bool skip_special_tokens = false);

  std::string push(std::int32_t id);
  std::string flush();

 private:
  std::string push_bytes(std::int32_t id);
  std::string take_held();

  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  std::string bytes_;               // received, not yet given out
  std::vector<std::int32_t> held_;  // their tokens, where the decoder is not ByteLevel
  bool started_ = false;            // text was given out, so decoders no longer see a first token
};

}  // namespace collie
