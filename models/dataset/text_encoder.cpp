#include "models/dataset/text_encoder.hpp"

namespace collie {
namespace {

class TokenizerEncoder : public TextEncoder {
 public:
  explicit TokenizerEncoder(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {
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

 private:
  const Tokenizer* tokenizer_;
  std::optional<std::int32_t> begin_id_;
};

}  // namespace

std::unique_ptr<TextEncoder> make_text_encoder(const Tokenizer& tokenizer) {
  return std::make_unique<TokenizerEncoder>(tokenizer);
}

}  // namespace collie
