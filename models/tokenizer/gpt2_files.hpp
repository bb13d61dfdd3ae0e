// GPT-2's vocab.json and merges.txt as one tokenizer.json, so that there is one way to load.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/result.hpp"

namespace collie::tok {

// The names stand for the files in errors. "<|endoftext|>" becomes a special token.
Result<std::string> gpt2_tokenizer_json(std::string_view vocab_json, const std::string& vocab_name,
                                        std::string_view merges_txt,
                                        const std::string& merges_name);

// What transformers assumes for such files: <|endoftext|> begins and ends.
std::string_view gpt2_config_json();

}  // namespace collie::tok
