#include "models/generation_prompt.hpp"

#include "models/batch.hpp"
#include "models/dataset/text_encoder.hpp"
#include "runtime/check.hpp"

namespace collie {

Result<std::vector<std::int32_t>> encode_prompt(const Tokenizer& tokenizer,
                                                std::string_view prompt) {
  const auto encoder = make_text_encoder(tokenizer);
  std::vector<std::int32_t> ids = encoder->encode(prompt);
  if (const auto begin = encoder->begin_id()) ids.insert(ids.begin(), *begin);
  // A model without a begin token has learned to start after the end of the text before.
  if (ids.empty() && encoder->end_id()) ids.push_back(*encoder->end_id());
  if (ids.empty()) {
    return make_error(ErrorCode::invalid_data,
                      "the prompt is empty and the tokenizer names no token to begin with");
  }
  return ids;
}

Status check_prompt(const ModelTraits& traits, std::int64_t virtual_tokens,
                    std::span<const std::int32_t> ids) {
  COLLIE_CHECK(!ids.empty(), "nothing to continue");
  for (const std::int32_t id : ids) {
    if (id >= traits.vocabulary_size) {
      return make_error(ErrorCode::invalid_data,
                        "the tokenizer gives id {}, but the model has a vocabulary of {}: they do "
                        "not belong together",
                        id, traits.vocabulary_size);
    }
  }
  const auto count = virtual_tokens + static_cast<std::int64_t>(ids.size());
  if (count >= traits.context_length) {
    return make_error(ErrorCode::invalid_data,
                      "the prompt has {} tokens, but the model's context of {} must hold at least "
                      "one more: shorten it",
                      count, traits.context_length);
  }
  return ok_status();
}

std::vector<std::int32_t> with_virtual_tokens(std::int64_t virtual_tokens,
                                              std::span<const std::int32_t> ids) {
  std::vector<std::int32_t> fed(static_cast<std::size_t>(virtual_tokens), virtual_token_id);
  fed.insert(fed.end(), ids.begin(), ids.end());
  return fed;
}

void add_end_ids(const Json& config, std::vector<std::int32_t>& ids) {
  const auto found = config.find("eos_token_id");
  if (found == config.end()) return;
  const auto add = [&](const Json& value) {
    if (!value.is_number_integer()) return;
    const auto id = value.get<std::int64_t>();
    if (id >= 0 && id <= INT32_MAX) ids.push_back(static_cast<std::int32_t>(id));
  };
  if (!found->is_array()) return add(*found);
  for (const Json& value : *found) add(value);
}

std::vector<std::int32_t> end_ids_of(const ModelTraits& traits, const Tokenizer& tokenizer) {
  std::vector<std::int32_t> ids;
  if (const auto id = tokenizer.eos_id()) ids.push_back(*id);
  if (traits.hf_config.is_object()) add_end_ids(traits.hf_config, ids);
  return ids;
}

std::string text_of_ids(const Tokenizer& tokenizer, std::span<const std::int32_t> ids) {
  TokenStream pieces(tokenizer, true);
  std::string text;
  for (const std::int32_t id : ids) text += pieces.push(id);
  return text + pieces.flush();
}

}  // namespace collie
