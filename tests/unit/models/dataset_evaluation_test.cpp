#define BOOST_TEST_MODULE dataset_evaluation
#include "models/dataset/evaluation_set.hpp"

#include "tests/unit/models/dataset_fixture.hpp"

namespace collie {
namespace {

struct Samples : Fixture {
  static std::string text_of(const std::vector<std::int32_t>& ids) {
    std::string text;
    for (const std::int32_t id : ids) {
      text.push_back(id == end_token ? '$' : id == begin_token ? '^' : static_cast<char>(id));
    }
    return text;
  }
  static std::vector<std::string> texts_of(const std::vector<std::vector<std::int32_t>>& lists) {
    std::vector<std::string> texts;
    for (const auto& ids : lists) texts.push_back(text_of(ids));
    return texts;
  }

  ClassificationSet classification(std::string_view content) {
    auto set = read_classification_set({write("c.jsonl", content)}, data, encoder, set_options);
    BOOST_REQUIRE_MESSAGE(set.ok(), (set.ok() ? "" : set.error().message));
    return std::move(set).value();
  }
  GenerationSet generation(const std::string& name, std::string_view content) {
    auto set = read_generation_set({write(name, content)}, data, encoder, set_options);
    BOOST_REQUIRE_MESSAGE(set.ok(), (set.ok() ? "" : set.error().message));
    return std::move(set).value();
  }
  std::string refused(bool classify, const std::string& name, std::string_view content) {
    const std::vector<std::string> files{write(name, content)};
    if (classify) {
      const auto set = read_classification_set(files, data, encoder, set_options);
      return set.ok() ? "no error" : set.error().message;
    }
    const auto set = read_generation_set(files, data, encoder, set_options);
    return set.ok() ? "no error" : set.error().message;
  }

  EvaluationSetOptions set_options;
};

using Texts = std::vector<std::string>;

BOOST_FIXTURE_TEST_CASE(input_and_options_are_encoded_apart, Samples) {
  const std::string records = R"({"input": "2+2=", "output": ["4", " five"], "target": 0}
{"input": "", "output": ["a", "b", "c"], "target": 2, "more": []})";
  ClassificationSet set = classification(records);
  BOOST_REQUIRE(set.samples.size() == 2U);
  BOOST_TEST(text_of(set.samples[0].context) == "2+2=");
  BOOST_TEST(texts_of(set.samples[0].options) == (Texts{"4", " five"}),
             boost::test_tools::per_element());
  BOOST_TEST(set.samples[0].texts == (Texts{"4", " five"}), boost::test_tools::per_element());
  BOOST_TEST(set.samples[0].gold == 0U);
  BOOST_TEST(text_of(set.samples[1].context) == "$");  // something to predict the first token from
  BOOST_TEST(set.samples[1].gold == 2U);
  encoder.begin = begin_token;
  set_options.end_options = true;
  set = classification(records);
  BOOST_TEST(text_of(set.samples[0].context) == "^2+2=");
  BOOST_TEST(texts_of(set.samples[0].options) == (Texts{"4$", " five$"}),
             boost::test_tools::per_element());
  BOOST_TEST(text_of(set.samples[1].context) == "^");
  data.max_records = 1;
  BOOST_TEST(classification(records).samples.size() == 1U);
}

BOOST_FIXTURE_TEST_CASE(the_helm_style_generates_and_compares_texts, Samples) {
  set_options.style = ClassificationStyle::helm;
  set_options.max_length = 8;
  set_options.max_new_tokens = 5;
  const auto set = classification(R"({"input": "abcdef", "output": ["yes", ""], "target": 1})");
  BOOST_TEST((set.style == ClassificationStyle::helm));
  BOOST_TEST(text_of(set.samples[0].context) == "def");
  BOOST_TEST(set.samples[0].options.empty());
  BOOST_TEST(set.samples[0].texts == (Texts{"yes", ""}), boost::test_tools::per_element());
  BOOST_TEST(set.truncated == 1);
}

BOOST_FIXTURE_TEST_CASE(a_long_context_loses_its_beginning_for_all_options_alike, Samples) {
  encoder.begin = begin_token;
  set_options.max_length = 6;
  // The longest option needs 3 positions, its last token none: of 6, the context keeps 3.
  const auto set = classification(R"({"input": "abcdef", "output": ["wxyz", "v"], "target": 1}
{"input": "ab", "output": ["wxyz", "v"], "target": 1})");
  BOOST_TEST(text_of(set.samples[0].context) == "^ef");
  BOOST_TEST(text_of(set.samples[1].context) == "^ab");
  BOOST_TEST(set.truncated == 1);
  BOOST_TEST(
      says(refused(true, "c.jsonl", R"({"input": "a", "output": ["b", "1234567"], "target": 0})"),
           "c.jsonl:1: 6 tokens after the context leave no room for it in 6 positions"));
}

BOOST_FIXTURE_TEST_CASE(prompts_come_from_every_shape, Samples) {
  const auto only = [&](std::string_view record) {
    const auto set = generation("g.json", fmt::format("[{}]", record));
    BOOST_REQUIRE(set.samples.size() == 1U);
    return text_of(set.samples[0].prompt) + "|" +
           fmt::format("{}", fmt::join(set.samples[0].references, "|"));
  };
  BOOST_TEST(only(R"({"text": "ab"})") == "ab|");
  BOOST_TEST(only(R"({"text": "ab", "target": "c"})") == "ab|c");
  BOOST_TEST(only(R"({"input": "ab", "target": ["c", "d"]})") == "ab|c|d");
  BOOST_TEST(only(R"({"input": "ab", "output": "c"})") == "ab|c");
  BOOST_TEST(only(R"({"text": ""})") == "$|");
  BOOST_TEST(only(R"({"instruction": "Hi", "output": "Ho"})") ==
             "Below is an instruction that describes a task. Write a response that appropriately "
             "completes the request.\n\n### Instruction:\nHi\n\n### Response:\n|Ho");
  // Earlier answers end as they do in training.
  BOOST_TEST(only(R"({"messages": [{"role": "user", "content": "A"},
      {"role": "assistant", "content": "b"}, {"role": "user", "content": "C"},
      {"role": "assistant", "content": "d"}]})") ==
             "### User:\nA\n\n### Assistant:\nb$### User:\nC\n\n### Assistant:\n|d");
  set_options.max_length = 4;
  set_options.max_new_tokens = 2;
  BOOST_TEST(only(R"({"text": "abcdef"})") == "ef|");
}

BOOST_FIXTURE_TEST_CASE(bad_samples_are_named_by_file_and_line, Samples) {
  const auto classify = [&](std::string_view record, std::string_view part) {
    const std::string good = R"({"input": "a", "output": ["b", "c"], "target": 0})";
    BOOST_TEST(says(refused(true, "c.jsonl", fmt::format("{}\n{}", good, record)), part), record);
    BOOST_TEST(says(refused(true, "c.jsonl", fmt::format("{}\n{}", good, record)), "c.jsonl:2"));
  };
  classify("[]", "must be a JSON object");
  classify(R"({"input": "a"})", "(a list of options)");
  classify(R"({"input": 1, "output": ["b", "c"], "target": 0})", "\"input\" must be a string");
  classify(R"({"input": "a", "output": "b", "target": 0})", "must be a list of strings");
  classify(R"({"input": "a", "output": ["b", 2], "target": 0})", "must be a list of strings");
  classify(R"({"input": "a", "output": ["b"], "target": 0})", "two or more options, got 1");
  classify(R"({"input": "a", "output": ["b", "b"], "target": 0})", "are equal");
  classify(R"({"input": "a", "output": ["b", ""], "target": 0})", "option 1 has no tokens");
  for (const char* target : {"2", "-1", "1.5", "\"b\"", "null", "18446744073709551615"}) {
    classify(fmt::format(R"({{"input": "a", "output": ["b", "c"], "target": {}}})", target),
             "must be the index of an option, 0 to 1");
  }
  classify("{", "not valid JSON");
  set_options.vocabulary_size = 100;
  classify(R"({"input": "z", "output": ["b", "c"], "target": 0})", "token id 122 does not fit");
}

BOOST_FIXTURE_TEST_CASE(sets_that_cannot_be_used_are_refused, Samples) {
  for (const bool classify : {true, false}) {
    BOOST_TEST(says(refused(classify, "e.jsonl", "\n"), "e.jsonl: no sample to evaluate with"));
    BOOST_TEST(says(refused(classify, "e.json", "[]"), "e.json: no sample to evaluate with"));
    BOOST_TEST(says(refused(classify, "e.txt", "text"), "name a .json or .jsonl file"));
    BOOST_TEST(says(refused(classify, "e.json", "3"), "must be a list of records"));
  }
  BOOST_TEST(says(refused(false, "g.jsonl", R"({"target": "a"})"), "needs \"text\" or \"input\""));
  BOOST_TEST(says(refused(false, "g.jsonl", R"({"text": "a", "target": []})"), "empty list"));
  BOOST_TEST(says(refused(false, "g.jsonl", R"({"text": "a", "target": 3})"), "list of strings"));
  BOOST_TEST(says(refused(false, "g.jsonl", R"({"question": "a"})"), "g.jsonl:1"));
  set_options.max_length = 4;
  set_options.max_new_tokens = 4;
  BOOST_TEST(says(refused(false, "g.jsonl", R"({"text": "a"})"), "leave no room"));
}

}  // namespace
}  // namespace collie
