// What a dataset needs of a tokenizer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "models/tokenizer/tokenizer.hpp"

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
};

// The tokenizer must outlive the encoder. A begin token is used when the tokenizer's own
// post-processor puts it there.
std::unique_ptr<TextEncoder> make_text_encoder(const Tokenizer& tokenizer);

}  // namespace collie
