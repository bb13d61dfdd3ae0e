#include "models/tokenizer/tokenizer_impl.hpp"
#include "models/tokenizer/utf8.hpp"

namespace collie {

TokenStream::TokenStream(const Tokenizer& tokenizer, bool skip_special_tokens)
    : tokenizer_(&tokenizer), skip_special_tokens_(skip_special_tokens) {}

std::string TokenStream::push(std::int32_t id) {
  const auto token = tokenizer_->impl_->token(id, skip_special_tokens_);
  if (!token) return {};
  if (tokenizer_->impl_->decoder.is_byte_level()) return push_bytes(id);
  held_.push_back(id);
  const auto byte = tok::fallback_byte(token->text);
  bytes_ = byte ? bytes_ + *byte : std::string();
  return tok::incomplete_suffix_bytes(bytes_) > 0 ? std::string() : take_held();
}

std::string TokenStream::push_bytes(std::int32_t id) {
  const auto token = tokenizer_->impl_->token(id, skip_special_tokens_);
  tok::Decoder::append_byte_level(token->text, token->is_added, bytes_);
  const std::size_t complete = bytes_.size() - tok::incomplete_suffix_bytes(bytes_);
  std::string out;
  tok::append_with_replacement(out, std::string_view(bytes_).substr(0, complete));
  bytes_.erase(0, complete);
  return out;
}

// Decoders treat the first token in a special way (they drop a leading space), so later ones are
// decoded behind a letter that stands for what was already given out.
std::string TokenStream::take_held() {
  std::vector<tok::DecodedToken> tokens;
  if (started_) tokens.push_back({"x", true});
  bool any_text = false;
  for (const std::int32_t id : held_) {
    tokens.push_back(*tokenizer_->impl_->token(id, false));
    any_text = any_text || !tokens.back().text.empty();
  }
  std::string text = tokenizer_->impl_->decoder.decode(std::move(tokens));
  if (started_ && text.starts_with('x')) text.erase(0, 1);
  started_ = started_ || any_text;
  held_.clear();
  bytes_.clear();
  return text;
}

std::string TokenStream::flush() {
  std::string out;
  if (tokenizer_->impl_->decoder.is_byte_level()) {
    tok::append_with_replacement(out, bytes_);
    bytes_.clear();
  } else if (!held_.empty()) {
    out = take_held();
  }
  started_ = false;
  return out;
}

}  // namespace collie
