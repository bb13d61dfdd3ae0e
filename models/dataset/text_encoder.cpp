#include "models/dataset/text_encoder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>

#include "runtime/hash.hpp"

namespace collie {
namespace {

// Letters, digits, contractions, white space, code, accents composed and not, several scripts,
// emoji, control and byte-fallback characters.
constexpr std::string_view probe_text =
    "The quick brown fox can't jump; they've 12345 dogs, we'll see 3.14159!\n\n  Indented\ttext   "
    "with  spaces \r\nfor (int i = 0; i < 10; ++i) { sum += a[i] * b[i]; }  // na\u00efve "
    "nai\u0308ve r\u00e9sum\u00e9 \u00dcbermut \u041f\u0440\u0438\u0432\u0435\u0442 "
    "\u4f60\u597d\uff0c\u4e16\u754c \u3053\u3093\u306b\u3061\u306f "
    "\u0645\u0631\u062d\u0628\u0627 \u0928\u092e\u0938\u094d\u0924\u0947 "
    "\U0001f642\U0001f1e9\U0001f1ea \u00a0\u200b \x01 UPPER lower CamelCase snake_case "
    "http://a.b/c?d=e&f=%20 $9.99 100% x\u00b2 \ufb01 and internationalization of understanding";

class TokenizerEncoder : public TextEncoder {
 public:
  explicit TokenizerEncoder(const Tokenizer& tokenizer,
                            std::optional<ChatTemplate> chat_template = std::nullopt)
      : tokenizer_(&tokenizer), chat_template_(std::move(chat_template)) {
    const std::vector<std::int32_t> frame = tokenizer.encode("", true);
    if (!frame.empty() && tokenizer.bos_id() == frame.front()) begin_id_ = frame.front();
  }

  std::vector<std::int32_t> encode(std::string_view text) const override {
    return tokenizer_->encode(text);
  }
  std::optional<std::int32_t> begin_id() const override { return begin_id_; }
  std::optional<std::int32_t> end_id() const override { return tokenizer_->eos_id(); }
  std::int32_t fill_id() const override {
    return tokenizer_->pad_id().value_or(tokenizer_->eos_id().value_or(0));
  }
  std::uint64_t vocabulary_fingerprint() const override {
    Hash64 hash;
    const std::int32_t size = tokenizer_->vocab_size();
    for (std::int32_t id = 0; id < size; ++id) {
      const std::string token = tokenizer_->id_to_token(id).value_or("");
      hash.update(fmt::format("{}:{}{};", token.size(), token, tokenizer_->is_special(id)));
    }
    return hash.value();
  }

  // Bytes of each token are told by what the stream of decoded text gives for it; those that end
  // inside a character reach up to its end.
  PartTokens encode_parts(std::string_view text,
                          const std::vector<std::size_t>& parts) const override {
    PartTokens tokens;
    tokens.ids = tokenizer_->encode(text);
    TokenStream stream(*tokenizer_);
    std::string decoded;
    const auto part_of = [&](std::size_t byte) {
      return static_cast<std::size_t>(std::upper_bound(parts.begin(), parts.end(), byte) -
                                      parts.begin());
    };
    for (const std::int32_t id : tokens.ids) {
      const std::size_t begin = decoded.size();
      decoded += stream.push(id);
      tokens.first_part.push_back(part_of(begin));
      tokens.last_part.push_back(decoded.size() > begin ? part_of(decoded.size() - 1)
                                                        : tokens.first_part.back());
    }
    decoded += stream.flush();
    return decoded == text ? tokens : TextEncoder::encode_parts(text, parts);
  }
  const ChatTemplate* chat_template() const override {
    return chat_template_ ? &*chat_template_ : nullptr;
  }

 private:
  const Tokenizer* tokenizer_;
  std::optional<ChatTemplate> chat_template_;
  std::optional<std::int32_t> begin_id_;
};

}  // namespace

std::uint64_t TextEncoder::fingerprint() const {
  const std::uint64_t vocabulary = vocabulary_fingerprint();
  return vocabulary == 0 ? split_fingerprint()
                         : combine_hashes(std::array{split_fingerprint(), vocabulary});
}

std::uint64_t TextEncoder::chat_fingerprint() const {
  return chat_template() == nullptr
             ? 0
             : hash_bytes(std::as_bytes(std::span(chat_template()->source())));
}

std::uint64_t TextEncoder::split_fingerprint() const {
  Hash64 hash;
  for (const std::int32_t id : {begin_id().value_or(-1), end_id().value_or(-1), fill_id()}) {
    hash.update(std::as_bytes(std::span(&id, 1)));
  }
  const std::vector<std::int32_t> ids = encode(probe_text);
  hash.update(std::as_bytes(std::span(ids)));
  return hash.value();
}

TextEncoder::PartTokens TextEncoder::encode_parts(std::string_view text,
                                                  const std::vector<std::size_t>& parts) const {
  PartTokens tokens;
  std::size_t begin = 0;
  for (std::size_t part = 0; part <= parts.size(); ++part) {
    const std::size_t end = part < parts.size() ? parts[part] : text.size();
    for (const std::int32_t id : encode(text.substr(begin, end - begin))) {
      tokens.ids.push_back(id);
      tokens.first_part.push_back(part);
      tokens.last_part.push_back(part);
    }
    begin = end;
  }
  return tokens;
}

Result<std::unique_ptr<TextEncoder>> make_text_encoder(const Tokenizer& tokenizer,
                                                       const DataSection& data) {
  std::optional<ChatTemplate> chat_template;
  if (data.chat_template == "auto") {
    COLLIE_TRY(chat_template, model_chat_template(tokenizer));
  } else if (data.chat_template != "plain") {
    COLLIE_TRY(chat_template, load_chat_template(data.chat_template, tokenizer));
  }
  return std::unique_ptr<TextEncoder>(
      std::make_unique<TokenizerEncoder>(tokenizer, std::move(chat_template)));
}

std::unique_ptr<TextEncoder> make_text_encoder(const Tokenizer& tokenizer) {
  return std::make_unique<TokenizerEncoder>(tokenizer);
}

}  // namespace collie
