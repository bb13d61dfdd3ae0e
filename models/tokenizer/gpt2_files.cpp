#include "models/tokenizer/gpt2_files.hpp"

#include <simdjson.h>

#include "models/tokenizer/json_node.hpp"
#include "models/tokenizer/json_text.hpp"
#include "models/tokenizer/utf8.hpp"
#include "runtime/limits.hpp"

namespace collie::tok {
namespace {

constexpr std::string_view end_of_text = "<|endoftext|>";
constexpr std::string_view byte_level =
    R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true})";

// One "left right" per line; the first line may say "#version: 0.2".
Result<std::string> merges_array(std::string_view text, const std::string& name) {
  if (!is_valid_utf8(text)) {
    return make_error(ErrorCode::invalid_file, "{}: not valid UTF-8", name);
  }
  std::string out = "[";
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (number == 1 && line.starts_with("#version"))) continue;
    const std::size_t space = line.find(' ');
    if (space == 0 || space == line.npos || space + 1 == line.size() ||
        line.find(' ', space + 1) != line.npos) {
      return make_error(ErrorCode::invalid_file, "{}: line {} is not two tokens: {}", name, number,
                        excerpt(line));
    }
    out.append(out.size() == 1 ? "[" : ",[");
    append_json_string(out, line.substr(0, space));
    out.push_back(',');
    append_json_string(out, line.substr(space + 1));
    out.push_back(']');
  }
  return out + "]";
}

// The id of <|endoftext|> as text, empty where the vocabulary has none.
Result<std::string> end_of_text_id(std::string_view vocab_json, const std::string& name) {
  simdjson::dom::parser parser;
  auto error = parser.allocate(vocab_json.size(), limits::json_depth_max);
  simdjson::dom::element root;
  if (!error) error = parser.parse(vocab_json.data(), vocab_json.size()).get(root);
  if (error || !root.is_object()) {
    return make_error(ErrorCode::invalid_file, "{}: not a JSON object ({})", name,
                      simdjson::error_message(error));
  }
  std::int64_t id = 0;
  return root[end_of_text].get(id) == simdjson::SUCCESS ? std::to_string(id) : std::string();
}

}  // namespace

Result<std::string> gpt2_tokenizer_json(std::string_view vocab_json, const std::string& vocab_name,
                                        std::string_view merges_txt,
                                        const std::string& merges_name) {
  COLLIE_TRY(const std::string id, end_of_text_id(vocab_json, vocab_name));
  COLLIE_TRY(const std::string merges, merges_array(merges_txt, merges_name));
  std::string out = R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[)";
  if (!id.empty()) {
    out += fmt::format(R"({{"id":{},"content":"{}","single_word":false,"lstrip":false,)"
                       R"("rstrip":false,"normalized":false,"special":true}})",
                       id, end_of_text);
  }
  out += fmt::format(R"(],"normalizer":null,"pre_tokenizer":{0},"post_processor":{0},)"
                     R"("decoder":{0},"model":{{"type":"BPE","dropout":null,"unk_token":null,)"
                     R"("continuing_subword_prefix":"","end_of_word_suffix":"","fuse_unk":false,)"
                     R"("byte_fallback":false,"ignore_merges":false,"vocab":)",
                     byte_level);
  return out.append(vocab_json).append(",\"merges\":").append(merges).append("}}");
}

std::string_view gpt2_config_json() {
  return R"({"tokenizer_class":"GPT2Tokenizer","bos_token":"<|endoftext|>",)"
         R"("eos_token":"<|endoftext|>","unk_token":"<|endoftext|>","add_prefix_space":false})";
}

}  // namespace collie::tok
