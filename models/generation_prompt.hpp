// From a prompt's text to the ids that a model is fed, and when it may stop; the same for a model
// on one stream (Generator) and for one on a grid.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/tokenizer.hpp"
#include "models/traits.hpp"
#include "runtime/result.hpp"

namespace collie {

// Errors: invalid_data for a prompt that is empty where the tokenizer has no token to begin with.
Result<std::vector<std::int32_t>> encode_prompt(const Tokenizer& tokenizer,
                                                std::string_view prompt);

// Ids of the vocabulary, at least one, that leave room for one more behind the virtual tokens
// before them (see Tuning::tokens_before). Else invalid_data.
Status check_prompt(const ModelTraits& traits, std::int64_t virtual_tokens,
                    std::span<const std::int32_t> ids);

// The ids behind the virtual tokens, as a model takes them in.
std::vector<std::int32_t> with_virtual_tokens(std::int64_t virtual_tokens,
                                              std::span<const std::int32_t> ids);

// "eos_token_id" of config.json or generation_config.json: one id or a list of them.
void add_end_ids(const Json& config, std::vector<std::int32_t>& ids);

// The tokenizer's end token and the configuration's.
std::vector<std::int32_t> end_ids_of(const ModelTraits& traits, const Tokenizer& tokenizer);

// The text of new tokens, special ones left out.
std::string text_of_ids(const Tokenizer& tokenizer, std::span<const std::int32_t> ids);

}  // namespace collie
