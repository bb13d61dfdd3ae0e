#include <algorithm>
#include <string>
#include <unordered_map>

#include "models/tokenizer/byte_alphabet.hpp"
#include "models/tokenizer/json_text.hpp"
#include "models/tokenizer/tokenizer_impl.hpp"
#include "models/tokenizer/trainer.hpp"
#include "models/tokenizer/utf8.hpp"
#include "runtime/limits.hpp"

namespace collie {
namespace {

// Llama 3's pre-tokenizer (meta-llama/llama3, tokenizer.py).
constexpr std::string_view pre_tokenizer_json =
    R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":)"
    R"("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|)"
    R"( ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},)"
    R"("behavior":"Isolated","invert":false},)"
    R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]})";

constexpr std::string_view byte_level_json =
    R"({"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true})";

constexpr std::int32_t byte_count = 256;

Status check(const TokenizerTraining& training) {
  const std::size_t fixed = training.special_tokens.size() + byte_count;
  if (training.vocabulary_size < 0 || static_cast<std::size_t>(training.vocabulary_size) < fixed ||
      static_cast<std::size_t>(training.vocabulary_size) > limits::vocabulary_max) {
    return make_error(ErrorCode::invalid_config,
                      "tokenizer vocabulary size {}: must be {} (256 bytes and the special tokens) "
                      "to {}",
                      training.vocabulary_size, fixed, limits::vocabulary_max);
  }
  for (const std::string& token : training.special_tokens) {
    const auto count =
        std::count(training.special_tokens.begin(), training.special_tokens.end(), token);
    // One character could be a byte's name in the vocabulary.
    if (token.size() < 3 || count != 1 || !tok::is_valid_utf8(token)) {
      return make_error(ErrorCode::invalid_config,
                        "special token {}: must be UTF-8, at least 3 bytes and given once",
                        tok::excerpt(token));
    }
  }
  for (const std::string& role : {training.bos_token, training.eos_token, training.pad_token}) {
    const auto& known = training.special_tokens;
    if (!role.empty() && std::find(known.begin(), known.end(), role) == known.end()) {
      return make_error(ErrorCode::invalid_config, "token {} is not among the special tokens",
                        tok::excerpt(role));
    }
  }
  return ok_status();
}

class WordCounter final : public tok::PieceSink {
 public:
  void piece(std::string_view text) override {
    buffer_.assign(text);
    ++counts_[buffer_];
  }

  // In a fixed order, so that a text always gives the same tokenizer.
  std::vector<tok::CountedWord> words(const std::array<std::int32_t, byte_count>& byte_ids) const {
    std::vector<std::pair<std::string_view, std::int64_t>> sorted(counts_.begin(), counts_.end());
    std::sort(sorted.begin(), sorted.end());
    std::vector<tok::CountedWord> words;
    for (const auto& [text, count] : sorted) {
      tok::CountedWord word{{}, count};
      for (const char byte : text)
        word.symbols.push_back(byte_ids[static_cast<std::uint8_t>(byte)]);
      words.push_back(std::move(word));
    }
    return words;
  }

 private:
  std::unordered_map<std::string, std::int64_t> counts_;
  std::string buffer_;
};

// Special tokens first, then the byte alphabet in the order of its characters.
std::vector<std::string> initial_tokens(const TokenizerTraining& training,
                                        std::array<std::int32_t, byte_count>& byte_ids) {
  std::vector<std::string> tokens = training.special_tokens;
  std::vector<std::pair<char32_t, std::size_t>> alphabet;
  for (std::size_t byte = 0; byte < byte_count; ++byte) {
    alphabet.emplace_back(tok::byte_to_character(static_cast<std::uint8_t>(byte)), byte);
  }
  std::sort(alphabet.begin(), alphabet.end());
  for (const auto& [character, byte] : alphabet) {
    byte_ids[byte] = static_cast<std::int32_t>(tokens.size());
    tok::append_code_point(tokens.emplace_back(), character);
  }
  return tokens;
}

std::string tokenizer_json(const TokenizerTraining& training,
                           const std::vector<std::string>& tokens,
                           const std::vector<tok::LearnedMerge>& merges) {
  std::string out = R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[)";
  for (std::size_t id = 0; id < training.special_tokens.size(); ++id) {
    out += fmt::format("{}{{\"id\":{},\"content\":", id == 0 ? "" : ",", id);
    tok::append_json_string(out, training.special_tokens[id]);
    out += R"(,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false,)"
           R"("special":true})";
  }
  out += fmt::format(R"(],"normalizer":null,"pre_tokenizer":{},"post_processor":{},"decoder":{},)",
                     pre_tokenizer_json, byte_level_json, byte_level_json);
  out +=
      R"("model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,)"
      R"("end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,)"
      R"("ignore_merges":false,"vocab":{)";
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (id > 0) out.push_back(',');
    tok::append_json_string(out, tokens[id]);
    out += fmt::format(":{}", id);
  }
  out += "},\"merges\":[";
  for (const tok::LearnedMerge& merge : merges) {
    out += &merge == merges.data() ? "[" : ",[";
    tok::append_json_string(out, tokens[static_cast<std::size_t>(merge.left)]);
    out.push_back(',');
    tok::append_json_string(out, tokens[static_cast<std::size_t>(merge.right)]);
    out.push_back(']');
  }
  return out + "]}}\n";
}

std::string trained_config_json(const TokenizerTraining& training) {
  std::string out = R"({"tokenizer_class":"PreTrainedTokenizerFast",)"
                    R"("clean_up_tokenization_spaces":false)";
  const std::pair<std::string_view, const std::string*> roles[] = {
      {"bos_token", &training.bos_token},
      {"eos_token", &training.eos_token},
      {"pad_token", &training.pad_token}};
  for (const auto& [key, token] : roles) {
    if (token->empty()) continue;
    out += fmt::format(",\"{}\":", key);
    tok::append_json_string(out, *token);
  }
  return out + "}\n";
}

}  // namespace

Result<Tokenizer> Tokenizer::train_byte_level_bpe(std::string_view text,
                                                  const TokenizerTraining& training) {
  COLLIE_TRY_VOID(check(training));
  std::string repaired;
  if (!tok::is_valid_utf8(text)) {
    tok::append_with_replacement(repaired, text);
    text = repaired;
  }
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(pre_tokenizer_json);
  simdjson::dom::element element;
  COLLIE_CHECK(parser.parse(padded).get(element) == simdjson::SUCCESS, "bad pre-tokenizer text");
  COLLIE_TRY(const tok::PreTokenizer pre_tokenizer,
             tok::PreTokenizer::parse(tok::JsonNode(element, "training", "pre_tokenizer")));
  WordCounter counter;
  pre_tokenizer.run(text, true, counter);
  std::array<std::int32_t, byte_count> byte_ids{};
  std::vector<std::string> tokens = initial_tokens(training, byte_ids);
  const std::vector<tok::LearnedMerge> merges = tok::learn_merges(
      counter.words(byte_ids), tokens, static_cast<std::size_t>(training.vocabulary_size));
  return from_json(tokenizer_json(training, tokens, merges), "trained tokenizer",
                   trained_config_json(training));
}

}  // namespace collie
