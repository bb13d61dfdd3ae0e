// What a Tokenizer is made of; included by the files that make one.
#pragma once

#include <mutex>

#include "models/tokenizer/added_tokens.hpp"
#include "models/tokenizer/bpe.hpp"
#include "models/tokenizer/decoder.hpp"
#include "models/tokenizer/normalizer.hpp"
#include "models/tokenizer/post_processor.hpp"
#include "models/tokenizer/pre_tokenizer.hpp"
#include "models/tokenizer/tokenizer.hpp"

namespace collie {

struct Tokenizer::Impl {
  std::string json;         // the tokenizer.json this was made from
  std::string config_json;  // tokenizer_config.json, or empty
  std::string special_map_json;
  std::string chat_template;  // chat_template.jinja, or empty
  tok::Normalizer normalizer;
  tok::PreTokenizer pre_tokenizer;
  tok::BpeModel model;
  tok::AddedTokens added;
  tok::PostProcessor post_processor;
  tok::Decoder decoder;
  std::optional<std::int32_t> bos_id;
  std::optional<std::int32_t> eos_id;
  std::optional<std::int32_t> pad_id;

  // Memory of encoders that are not running now, so that a piece seen in one call is known in the
  // next one; at most as many as ever ran at once.
  mutable std::mutex mutex;
  mutable std::vector<std::unique_ptr<tok::BpeScratch>> idle;

  std::unique_ptr<tok::BpeScratch> acquire() const;
  void release(std::unique_ptr<tok::BpeScratch> scratch) const;

  void encode(std::string_view text, std::vector<std::int32_t>& out) const;
  std::optional<tok::DecodedToken> token(std::int32_t id, bool skip_special_tokens) const;
  std::optional<std::int32_t> find(std::string_view token) const;
};

}  // namespace collie
