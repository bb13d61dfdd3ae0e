// What a dataset needs of a tokenizer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "models/tokenizer/chat_template/chat_template.hpp"
#include "models/tokenizer/tokenizer.hpp"
#include "runtime/config.hpp"

namespace collie {

class TextEncoder {
 public:
  virtual ~TextEncoder() = default;
  // Without begin and end.
  virtual std::vector<std::int32_t> encode(std::string_view text) const = 0;
  // Stands before each document, where the model was trained so (Llama: <s>).
  virtual std::optional<std::int32_t> begin_id() const = 0;
  // Ends each document and each answer.
  virtual std::optional<std::int32_t> end_id() const = 0;
  // Fills what is left of a row; never read by a token of a document and never predicted.
  virtual std::int32_t fill_id() const = 0;
  // Differs between encoders that give different ids: tokens on disk carry it. Hashes the ids above
  // and those of a text that many rules of splitting and merging touch; of a tokenizer its
  // vocabulary, too. The layout of its files does not matter.
  std::uint64_t fingerprint() const;
  // Its two parts: of the vocabulary (0 where an encoder has none), and of how text is split into
  // it and framed.
  virtual std::uint64_t vocabulary_fingerprint() const { return 0; }
  std::uint64_t split_fingerprint() const;
  // Of how chats are written; 0: in the plain form. Not part of fingerprint().
  std::uint64_t chat_fingerprint() const;
  // How chats are written; nullptr: in the plain form of record.hpp.
  virtual const ChatTemplate* chat_template() const { return nullptr; }
  // The tokens of one text that is cut into parts; the text is encoded as a whole where the tokens'
  // bytes can be told, otherwise part by part. parts[i] < parts[i + 1]: bytes where parts begin,
  // without the first. Returns the part in which each token ends.
  struct PartTokens {
    std::vector<std::int32_t> ids;
    std::vector<std::size_t> first_part;  // that the token's bytes touch
    std::vector<std::size_t> last_part;
  };
  virtual PartTokens encode_parts(std::string_view text,
                                  const std::vector<std::size_t>& parts) const;
};

// The tokenizer must outlive the encoder. A begin token is used when the tokenizer's own
// post-processor puts it there.
std::unique_ptr<TextEncoder> make_text_encoder(const Tokenizer& tokenizer);

// With the chat template that data.chat_template names: "auto" is the tokenizer's own where it has
// one. Errors: those of reading the template.
Result<std::unique_ptr<TextEncoder>> make_text_encoder(const Tokenizer& tokenizer,
                                                       const DataSection& data);

}  // namespace collie
