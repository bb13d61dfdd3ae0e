// Training: the merges of Hugging Face's BpeTrainer (goldens/tokenizer/llama3 was trained by it on
// train.txt), and what is refused.
#define BOOST_TEST_MODULE tokenizer_trainer
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "models/tokenizer/tokenizer.hpp"

namespace {

namespace fs = std::filesystem;
using collie::Tokenizer;
using collie::TokenizerTraining;

const fs::path folder = fs::path(COLLIE_TESTS_DIR) / "goldens/tokenizer";

std::string read(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

TokenizerTraining like_llama3() {
  TokenizerTraining training;
  training.vocabulary_size = 700;
  training.special_tokens = {"<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"};
  training.bos_token = "<|begin_of_text|>";
  training.eos_token = "<|end_of_text|>";
  training.pad_token = "";
  return training;
}

BOOST_AUTO_TEST_CASE(tokens_are_those_of_the_reference_trainer) {
  const std::string text = read(folder / "train.txt");
  const auto ours = Tokenizer::train_byte_level_bpe(text, like_llama3());
  const auto reference = Tokenizer::load(folder / "llama3");
  BOOST_REQUIRE(ours.ok());
  BOOST_REQUIRE(reference.ok());
  BOOST_TEST(ours->vocab_size() == 700);
  for (std::int32_t id = 0; id < 700; ++id) {
    BOOST_TEST(ours->id_to_token(id).value_or("none") == reference->id_to_token(id).value());
  }
  BOOST_TEST(ours->encode(text) == reference->encode(text), boost::test_tools::per_element());
  BOOST_TEST((ours->bos_id() == 0));
  BOOST_TEST((ours->eos_id() == 1));
  BOOST_TEST(!ours->pad_id().has_value());
}

BOOST_AUTO_TEST_CASE(a_trained_tokenizer_survives_saving) {
  const std::string text = read(folder / "train.txt");
  const auto trained = Tokenizer::train_byte_level_bpe(text, like_llama3());
  BOOST_REQUIRE(trained.ok());
  const fs::path directory = fs::temp_directory_path() / "tokenizer_trainer_test";
  fs::create_directories(directory);
  BOOST_REQUIRE(trained->save(directory).ok());
  const auto again = Tokenizer::load(directory);
  fs::remove_all(directory);
  BOOST_REQUIRE(again.ok());
  BOOST_TEST(again->encode(text) == trained->encode(text));
  BOOST_TEST(again->decode(again->encode(text)) == text);
  BOOST_TEST((again->eos_id() == 1));
}

BOOST_AUTO_TEST_CASE(little_text_gives_few_tokens) {
  TokenizerTraining training;
  const auto tokenizer = Tokenizer::train_byte_level_bpe("aaaa aaaa", training);
  BOOST_REQUIRE(tokenizer.ok());
  // aa, aaaa, " aaaa"
  BOOST_TEST(tokenizer->vocab_size() == 257 + 3);
  BOOST_TEST(tokenizer->encode("aaaa aaaa").size() == 2u);
  const auto empty = Tokenizer::train_byte_level_bpe("", training);
  BOOST_REQUIRE(empty.ok());
  BOOST_TEST(empty->vocab_size() == 257);
  BOOST_TEST(empty->decode(empty->encode("\U0001F600 any\n")) == "\U0001F600 any\n");
}

BOOST_AUTO_TEST_CASE(impossible_settings_are_refused) {
  const auto refused = [](auto change) {
    TokenizerTraining training;
    change(training);
    const auto tokenizer = Tokenizer::train_byte_level_bpe("text", training);
    return !tokenizer.ok() && tokenizer.error().code == collie::ErrorCode::invalid_config;
  };
  BOOST_TEST(refused([](auto& t) { t.vocabulary_size = 256; }));
  BOOST_TEST(refused([](auto& t) { t.vocabulary_size = -1; }));
  BOOST_TEST(refused([](auto& t) { t.vocabulary_size = 1 << 30; }));
  BOOST_TEST(refused([](auto& t) { t.special_tokens.push_back("<|endoftext|>"); }));
  BOOST_TEST(refused([](auto& t) { t.special_tokens.push_back(""); }));
  BOOST_TEST(refused([](auto& t) { t.eos_token = "<unknown>"; }));
  BOOST_TEST(!refused([](auto& t) { t.vocabulary_size = 257; }));
}

}  // namespace
