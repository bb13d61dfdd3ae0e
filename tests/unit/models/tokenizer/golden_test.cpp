// Ids and texts against Hugging Face tokenizers
// (tests/goldens/tokenizer/make_tokenizer_goldens.py).
#define BOOST_TEST_MODULE tokenizer_golden
#include <simdjson.h>

#include <boost/test/unit_test.hpp>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "models/tokenizer/tokenizer.hpp"

namespace {

using collie::Tokenizer;
using collie::TokenStream;
using Ids = std::vector<std::int32_t>;

const std::string folder = std::string(COLLIE_TESTS_DIR) + "/goldens/tokenizer/";

struct Case {
  std::string text;
  Ids ids;
  Ids with_special;
  std::string decoded;
  std::string skipped;
};

std::map<std::string, std::vector<Case>> read_cases() {
  std::ifstream stream(folder + "cases.json");
  const auto document = nlohmann::json::parse(stream);
  const auto texts = document.at("texts").get<std::vector<std::string>>();
  std::map<std::string, std::vector<Case>> all;
  for (const auto& [family, elements] : document.at("cases").items()) {
    auto& cases = all[family];
    BOOST_REQUIRE_EQUAL(elements.size(), texts.size());
    for (const auto& element : elements) {
      const std::string& text = texts[cases.size()];
      const auto ids = element.at("ids").get<Ids>();
      cases.push_back({text, ids, element.value("with_special", ids),
                       element.value("decoded", text), element.value("skipped", text)});
    }
  }
  return all;
}

Tokenizer load(const std::string& name) {
  auto tokenizer = Tokenizer::load(folder + name);
  BOOST_REQUIRE_MESSAGE(tokenizer.ok(), (tokenizer.ok() ? "" : tokenizer.error().message));
  return std::move(tokenizer).value();
}

const std::map<std::string, std::vector<Case>>& all_cases() {
  static const auto cases = read_cases();
  return cases;
}

BOOST_AUTO_TEST_CASE(every_family_is_there) {
  BOOST_CHECK_EQUAL(all_cases().size(), 7u);
}

BOOST_AUTO_TEST_CASE(ids_are_the_reference_s) {
  for (const auto& [name, cases] : all_cases()) {
    const Tokenizer tokenizer = load(name);
    for (const Case& expected : cases) {
      BOOST_TEST_CONTEXT(name << ": " << expected.text.substr(0, 60)) {
        BOOST_TEST(tokenizer.encode(expected.text) == expected.ids,
                   boost::test_tools::per_element());
        // The second time from the memory of the first.
        BOOST_TEST(tokenizer.encode(expected.text, true) == expected.with_special,
                   boost::test_tools::per_element());
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(texts_are_the_reference_s) {
  for (const auto& [name, cases] : all_cases()) {
    const Tokenizer tokenizer = load(name);
    for (const Case& expected : cases) {
      BOOST_TEST_CONTEXT(name << ": " << expected.text.substr(0, 60)) {
        BOOST_TEST(tokenizer.decode(expected.ids) == expected.decoded);
        BOOST_TEST(tokenizer.decode(expected.ids, true) == expected.skipped);
      }
    }
  }
}

// Byte-level vocabularies without a normalizer lose nothing.
BOOST_AUTO_TEST_CASE(valid_utf8_comes_back) {
  for (const char* name : {"gpt2", "llama3"}) {
    const Tokenizer tokenizer = load(name);
    for (const Case& expected : all_cases().at(name)) {
      BOOST_TEST(tokenizer.decode(tokenizer.encode(expected.text)) == expected.text);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_stream_gives_the_decoded_text_in_whole_characters) {
  for (const auto& [name, cases] : all_cases()) {
    const Tokenizer tokenizer = load(name);
    for (const Case& expected : cases) {
      TokenStream stream(tokenizer);
      std::string text;
      for (const std::int32_t id : expected.ids) {
        const std::string piece = stream.push(id);
        BOOST_TEST(simdjson::validate_utf8(piece));
        text += piece;
      }
      text += stream.flush();
      BOOST_TEST_CONTEXT(name) {
        BOOST_TEST(text == expected.decoded);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(threads_share_a_tokenizer) {
  const Tokenizer tokenizer = load("llama3");
  const auto& cases = all_cases().at("llama3");
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (const Case& expected : cases) count += tokenizer.encode(expected.text) != expected.ids;
    });
  }
  for (std::thread& thread : threads) thread.join();
  BOOST_TEST(wrong == std::vector<int>(4, 0), boost::test_tools::per_element());
}

}  // namespace
