#include "models/tokenizer/tokenizer.hpp"

#include "models/tokenizer/tokenizer_impl.hpp"
#include "models/tokenizer/utf8.hpp"

namespace collie {
namespace {

class ModelSink final : public tok::PieceSink {
 public:
  ModelSink(const tok::BpeModel& model, tok::BpeScratch& scratch, std::vector<std::int32_t>& out)
      : model_(model), scratch_(scratch), out_(out) {}
  void piece(std::string_view text) override { model_.encode(text, scratch_, out_); }

 private:
  const tok::BpeModel& model_;
  tok::BpeScratch& scratch_;
  std::vector<std::int32_t>& out_;
};

}  // namespace

std::unique_ptr<tok::BpeScratch> Tokenizer::Impl::acquire() const {
  {
    const std::lock_guard lock(mutex);
    if (!idle.empty()) {
      auto scratch = std::move(idle.back());
      idle.pop_back();
      return scratch;
    }
  }
  return std::make_unique<tok::BpeScratch>();
}

void Tokenizer::Impl::release(std::unique_ptr<tok::BpeScratch> scratch) const {
  const std::lock_guard lock(mutex);
  idle.push_back(std::move(scratch));
}

void Tokenizer::Impl::encode(std::string_view text, std::vector<std::int32_t>& out) const {
  auto scratch = acquire();
  ModelSink sink(model, *scratch, out);
  std::string buffer;
  for (const auto& raw : added.in_text().split(text)) {
    if (raw.token != nullptr) {
      out.push_back(raw.token->id);
      continue;
    }
    const std::string_view normalized =
        normalizer.apply(text.substr(raw.begin, raw.end - raw.begin), buffer);
    for (const auto& piece : added.in_normalized_text().split(normalized)) {
      if (piece.token != nullptr) {
        out.push_back(piece.token->id);
      } else {
        pre_tokenizer.run(normalized.substr(piece.begin, piece.end - piece.begin),
                          raw.begin == 0 && piece.begin == 0, sink);
      }
    }
  }
  release(std::move(scratch));
}

std::optional<tok::DecodedToken> Tokenizer::Impl::token(std::int32_t id,
                                                        bool skip_special_tokens) const {
  if (const tok::AddedToken* token = added.find(id)) {
    if (skip_special_tokens && token->special) return std::nullopt;
    return tok::DecodedToken{token->content, true};
  }
  const auto text = model.vocabulary().token(id);
  if (!text) return std::nullopt;
  return tok::DecodedToken{std::string(*text), false};
}

std::optional<std::int32_t> Tokenizer::Impl::find(std::string_view token) const {
  const auto id = added.find(token);
  return id ? id : model.vocabulary().find(token);
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  std::string repaired;
  if (!tok::is_valid_utf8(text)) {
    tok::append_with_replacement(repaired, text);
    text = repaired;
  }
  std::vector<std::int32_t> ids;
  ids.reserve(text.size() / 3);
  const auto append = [&](const std::vector<std::int32_t>& special) {
    if (add_special_tokens) ids.insert(ids.end(), special.begin(), special.end());
  };
  append(impl_->post_processor.prefix());
  impl_->encode(text, ids);
  append(impl_->post_processor.suffix());
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special_tokens) const {
  if (!impl_->decoder.is_byte_level()) {
    std::vector<tok::DecodedToken> tokens;
    for (const std::int32_t id : ids) {
      if (auto token = impl_->token(id, skip_special_tokens)) tokens.push_back(std::move(*token));
    }
    return impl_->decoder.decode(std::move(tokens));
  }
  std::string bytes;
  for (const std::int32_t id : ids) {
    if (const auto token = impl_->token(id, skip_special_tokens)) {
      tok::Decoder::append_byte_level(token->text, token->is_added, bytes);
    }
  }
  std::string text;
  tok::append_with_replacement(text, bytes);
  return text;
}

std::int32_t Tokenizer::vocab_size() const {
  return std::max(impl_->model.vocabulary().id_end(), impl_->added.id_end());
}

std::optional<std::int32_t> Tokenizer::token_to_id(std::string_view token) const {
  return impl_->find(token);
}

std::optional<std::string> Tokenizer::id_to_token(std::int32_t id) const {
  auto token = impl_->token(id, false);
  return token ? std::optional(std::move(token->text)) : std::nullopt;
}

bool Tokenizer::is_special(std::int32_t id) const {
  const tok::AddedToken* token = impl_->added.find(id);
  return token != nullptr && token->special;
}

std::optional<std::int32_t> Tokenizer::bos_id() const {
  return impl_->bos_id;
}
std::optional<std::int32_t> Tokenizer::eos_id() const {
  return impl_->eos_id;
}
std::string_view Tokenizer::tokenizer_config_json() const {
  return impl_->config_json;
}

std::string_view Tokenizer::special_tokens_map_json() const {
  return impl_->special_map_json;
}

std::string_view Tokenizer::chat_template_jinja() const {
  return impl_->chat_template;
}

std::optional<std::int32_t> Tokenizer::pad_id() const {
  return impl_->pad_id;
}

}  // namespace collie
