// What a broken or foreign tokenizer.json is answered with, and what loading gives besides ids.
#define BOOST_TEST_MODULE tokenizer_loader
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "models/tokenizer/tokenizer.hpp"

namespace {

namespace fs = std::filesystem;
using collie::ErrorCode;
using collie::Tokenizer;

const fs::path folder = fs::path(COLLIE_TESTS_DIR) / "goldens/tokenizer";

// A directory that goes away with the test.
struct TemporaryDirectory {
  fs::path path = fs::temp_directory_path() / fmt::format("tokenizer_test_{}", std::rand());
  TemporaryDirectory() { fs::create_directories(path); }
  ~TemporaryDirectory() { fs::remove_all(path); }
};

void write(const fs::path& path, const std::string& text) {
  std::ofstream(path) << text;
}

std::string read(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::string with_model(const std::string& vocab, const std::string& merges,
                       const std::string& rest = "") {
  return fmt::format(R"({{"model":{{"type":"BPE","vocab":{},"merges":{}}}{}}})", vocab, merges,
                     rest);
}

std::string with(const std::string& rest) {
  return with_model(R"({"a":0,"b":1,"ab":2})", R"([["a","b"]])", rest);
}

// The error must be one line that holds the file's name and each of the parts.
void check_refused(const std::string& json, ErrorCode code, const std::vector<std::string>& parts) {
  const auto tokenizer = Tokenizer::from_json(json, "file.json");
  BOOST_TEST_CONTEXT(json.substr(0, 200)) {
    BOOST_REQUIRE(!tokenizer.ok());
    const std::string& message = tokenizer.error().message;
    BOOST_TEST((tokenizer.error().code == code), message);
    BOOST_TEST(message.starts_with("file.json: "), message);
    BOOST_TEST(message.find('\n') == std::string::npos, message);
    for (const std::string& part : parts) {
      BOOST_TEST((message.find(part) != std::string::npos), message << " lacks " << part);
    }
  }
}

void check_invalid(const std::string& json, const std::vector<std::string>& parts) {
  check_refused(json, ErrorCode::invalid_file, parts);
}

void check_unsupported(const std::string& json, const std::vector<std::string>& parts) {
  check_refused(json, ErrorCode::unsupported, parts);
}

BOOST_AUTO_TEST_CASE(a_small_model_loads) {
  const auto tokenizer = Tokenizer::from_json(with(""), "file.json");
  BOOST_REQUIRE(tokenizer.ok());
  BOOST_TEST(tokenizer->encode("aba") == (std::vector<std::int32_t>{2, 0}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(broken_json_is_refused) {
  check_invalid("", {"not valid JSON"});
  check_invalid(R"({"model":{"type":"BPE","vocab":{"a":0)", {"not valid JSON"});
  check_invalid("[]", {"expected an object"});
  check_invalid(std::string(100, '['), {"not valid JSON"});
  check_invalid("{}", {"model"});
  check_invalid(R"({"model":[]})", {"model"});
}

BOOST_AUTO_TEST_CASE(bad_vocabularies_are_refused) {
  check_invalid(with_model("[]", "[]"), {"model.vocab", "expected an object"});
  check_invalid(with_model("{}", "[]"), {"empty"});
  check_invalid(with_model(R"({"a":-1})", "[]"), {"vocab", "'a'", "-1"});
  check_invalid(with_model(R"({"a":2000000})", "[]"), {"'a'", "2000000"});
  check_invalid(with_model(R"({"a":99999999999})", "[]"), {"'a'", "99999999999"});
  check_invalid(with_model(R"({"a":1e3})", "[]"), {"'a'", "integer"});
  check_invalid(with_model(R"({"a":"0"})", "[]"), {"'a'", "integer"});
  check_invalid(with_model(R"({"a":0,"b":0})", "[]"), {"'b'", "taken"});
  check_invalid(with_model(R"({"a":0,"a":1})", "[]"), {"'a'", "twice"});
  check_invalid(with_model("{\"" + std::string(65537, 'x') + "\":0}", "[]"), {"longer"});
}

BOOST_AUTO_TEST_CASE(bad_merges_are_refused) {
  const std::string vocab = R"({"a":0,"b":1,"ab":2})";
  check_invalid(with_model(vocab, "{}"), {"model.merges", "array"});
  check_invalid(with_model(vocab, R"(["ab"])"), {"merge 0", "'ab'"});
  check_invalid(with_model(vocab, R"(["a b b"])"), {"merge 0"});
  check_invalid(with_model(vocab, R"([["a","b"],["a"]])"), {"merge 1"});
  check_invalid(with_model(vocab, R"([["a",1]])"), {"merge 0"});
  check_invalid(with_model(vocab, R"([["a","c"]])"), {"merge 0", "'c'", "not in the vocabulary"});
  check_invalid(with_model(vocab, R"(["b a"])"), {"merge 0", "'ba'", "not in the vocabulary"});
}

BOOST_AUTO_TEST_CASE(bad_added_tokens_are_refused) {
  const auto added = [](const std::string& tokens) { return with(",\"added_tokens\":" + tokens); };
  check_invalid(added("{}"), {"added_tokens", "array"});
  check_invalid(added(R"([{"content":"x"}])"), {"added_tokens[0]", "'id'"});
  check_invalid(added(R"([{"id":-1,"content":"x"}])"), {"added_tokens[0].id", "-1"});
  check_invalid(added(R"([{"id":3000000,"content":"x"}])"), {"added_tokens[0].id", "3000000"});
  check_invalid(added(R"([{"id":3,"content":5}])"), {"added_tokens[0].content", "string"});
  check_invalid(added(R"([{"id":1,"content":"x"}])"), {"'x'", "'b'"});
  check_invalid(added(R"([{"id":5,"content":"a"}])"), {"'a'", "5"});
  check_invalid(added(R"([{"id":3,"content":"x"},{"id":3,"content":"y"}])"), {"'y'", "twice"});
  check_invalid(added(R"([{"id":3,"content":"x","special":1}])"), {"special", "true or false"});
}

BOOST_AUTO_TEST_CASE(what_is_not_supported_is_named) {
  check_unsupported(R"({"model":{"type":"WordPiece","vocab":{}}})", {"WordPiece"});
  check_unsupported(with(R"(,"normalizer":{"type":"Precompiled"})"), {"Precompiled"});
  check_unsupported(with(R"(,"pre_tokenizer":{"type":"BertPreTokenizer"})"), {"BertPre"});
  check_unsupported(with(R"(,"decoder":{"type":"WordPiece"})"), {"decoder", "WordPiece"});
  check_unsupported(with(R"(,"post_processor":{"type":"BertProcessing"})"), {"BertProcessing"});
  const std::string split = R"(,"pre_tokenizer":{"type":"Split","behavior":"Isolated","pattern":)";
  check_unsupported(with(split + R"({"Regex":"[a[b]]"}})"), {"pattern.Regex", "nested"});
  check_invalid(with(split + R"({"Regex":"(a"}})"), {"pattern.Regex", "regular expression"});
  check_invalid(with(split + R"({"Regex":5}})"), {"pattern.Regex", "string"});
  check_invalid(with(split + "5}"), {"pattern"});
  check_invalid(with(R"(,"normalizer":{})"), {"normalizer", "'type'"});
  check_invalid(with(R"(,"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":)"
                     R"({"id":"s"}},{"Sequence":{"id":"A"}}],"special_tokens":{"s":{"ids":[9]}}})"),
                {"ids[0]", "9"});
}

BOOST_AUTO_TEST_CASE(missing_files_are_named) {
  const TemporaryDirectory directory;
  auto tokenizer = Tokenizer::load(directory.path);
  BOOST_REQUIRE(!tokenizer.ok());
  BOOST_TEST((tokenizer.error().code == ErrorCode::not_found));
  tokenizer = Tokenizer::load(directory.path / "none.json");
  BOOST_REQUIRE(!tokenizer.ok());
  BOOST_TEST(tokenizer.error().message.find("none.json") != std::string::npos);
  write(directory.path / "vocab.json", R"({"a":0,"b":1,"ab":2})");
  write(directory.path / "merges.txt", "#version: 0.2\na b\nab\n");
  tokenizer = Tokenizer::load(directory.path);
  BOOST_REQUIRE(!tokenizer.ok());
  BOOST_TEST(tokenizer.error().message.find("merges.txt: line 3") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(roles_and_names) {
  const auto qwen = Tokenizer::load(folder / "qwen");
  BOOST_REQUIRE(qwen.ok());
  BOOST_TEST(!qwen->bos_id().has_value());
  BOOST_TEST((qwen->eos_id() == qwen->token_to_id("<|im_end|>")));
  BOOST_TEST((qwen->pad_id() == qwen->token_to_id("<|endoftext|>")));
  BOOST_TEST(qwen->is_special(*qwen->eos_id()));
  BOOST_TEST(!qwen->is_special(*qwen->token_to_id("<think>")));
  BOOST_TEST(*qwen->id_to_token(qwen->vocab_size() - 1) == "<tool_call>");
  BOOST_TEST(!qwen->id_to_token(qwen->vocab_size()).has_value());
  BOOST_TEST(!qwen->id_to_token(-1).has_value());
  BOOST_TEST(!qwen->token_to_id("no such token").has_value());
  const auto gpt2 = Tokenizer::load(folder / "gpt2");
  BOOST_REQUIRE(gpt2.ok());
  BOOST_TEST((gpt2->eos_id() == gpt2->token_to_id("<|endoftext|>")));
  BOOST_TEST(gpt2->eos_id().has_value());
}

BOOST_AUTO_TEST_CASE(saving_loses_nothing) {
  const TemporaryDirectory directory;
  const auto qwen = Tokenizer::load(folder / "qwen/tokenizer.json");
  BOOST_REQUIRE(qwen.ok());
  BOOST_REQUIRE(qwen->save(directory.path).ok());
  for (const char* file : {"tokenizer.json", "tokenizer_config.json"}) {
    BOOST_TEST(read(directory.path / file) == read(folder / "qwen" / file));
  }
  const auto gpt2 = Tokenizer::load(folder / "gpt2");
  BOOST_REQUIRE(gpt2->save(directory.path).ok());
  const auto again = Tokenizer::load(directory.path);
  BOOST_REQUIRE(again.ok());
  BOOST_TEST(again->encode("free and equal<|endoftext|>") ==
             gpt2->encode("free and equal<|endoftext|>"));
  BOOST_TEST(!gpt2->save(directory.path / "not/there").ok());
}

BOOST_AUTO_TEST_CASE(bytes_that_are_not_utf8) {
  const auto tokenizer = Tokenizer::load(folder / "gpt2");
  BOOST_REQUIRE(tokenizer.ok());
  // One U+FFFD for each maximal invalid subpart (Unicode 15, table 3-8).
  const std::pair<std::string, std::string> cases[] = {
      {"a\xFFz", "a\uFFFDz"},
      {"\xE4\xBD", "\uFFFD"},
      {"\xE4\xBD\x41", "\uFFFDA"},
      {"\xC0\xAF", "\uFFFD\uFFFD"},
      {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},
      {"\xF0\x9F\x98", "\uFFFD"},
      {"\xF4\x91\x92\x93", "\uFFFD\uFFFD\uFFFD\uFFFD"}};
  for (const auto& [bytes, text] : cases) {
    BOOST_TEST(tokenizer->encode(bytes) == tokenizer->encode(text));
    BOOST_TEST(tokenizer->decode(tokenizer->encode(bytes)) == text);
  }
}

}  // namespace
