#define BOOST_TEST_MODULE dataset
#include "tests/unit/models/dataset_fixture.hpp"

#include <algorithm>

#include "models/dataset/reader.hpp"

namespace collie {
namespace {

// ---- text

BOOST_FIXTURE_TEST_CASE(plain_text_is_cut_into_rows_that_share_one_token, Fixture) {
  train_on("a.txt", "abcdefghijkl");
  const Dataset dataset = open();
  BOOST_TEST(dataset.row_count() == 2);
  const MicroBatch first = batch(dataset);
  BOOST_TEST(shown(first.ids_t) == "abcdefgh");
  BOOST_TEST(shown(first.labels_t) == "bcdefghi");
  BOOST_TEST(digits(first.positions_t) == "01234567");
  BOOST_TEST(first.valid_tokens == 8);
  const MicroBatch second = batch(dataset, {}, 1);
  BOOST_TEST(shown(second.ids_t) == "ijkl....");
  BOOST_TEST(shown(second.labels_t) == "jkl$----");
  BOOST_TEST(digits(second.positions_t) == "01230000");
  BOOST_TEST(second.valid_tokens == 4);
}

BOOST_FIXTURE_TEST_CASE(packed_documents_restart_their_positions, Fixture) {
  data.document_separator = "\n\n";
  train_on("a.txt", "abcde\n\nxyz\n\n\n\n");
  const Dataset dataset = open();
  const MicroBatch row = batch(dataset);
  BOOST_TEST(shown(row.ids_t) == "abcdexyz");
  BOOST_TEST(shown(row.labels_t) == "bcde$yz$");
  BOOST_TEST(digits(row.positions_t) == "01234012");
  BOOST_TEST(dataset.statistics().empty == 1);
  BOOST_TEST(dataset.statistics().learned_tokens == 8);
}

BOOST_FIXTURE_TEST_CASE(without_packing_a_record_has_its_row_to_itself, Fixture) {
  data.packing = false;
  train_on("a.jsonl", "{\"text\": \"ab\"}\r\n\n{\"text\": \"cde\", \"more\": 1}");
  const Dataset dataset = open();
  BOOST_TEST(shown(batch(dataset).ids_t) == "ab......");
  BOOST_TEST(shown(batch(dataset, {}, 1).labels_t) == "de$-----");
}

BOOST_FIXTURE_TEST_CASE(windows_pack_whole_documents_with_their_masks_and_positions, Fixture) {
  data.packing_window = 2;
  train_on("a.jsonl", R"({"input": "a", "output": "bc"}
{"input": "def", "output": "gh"}
{"input": "i", "output": "j"}
{"input": "klm", "output": ""})");
  const Dataset dataset = open();  // {abc, defgh} and {ij, klm}, each pair in a row
  BOOST_TEST(dataset.row_count() == 2);
  BOOST_TEST(shown(batch(dataset).ids_t) == "defghabc");
  BOOST_TEST(shown(batch(dataset).labels_t) == "--gh$bc$");
  BOOST_TEST(digits(batch(dataset).positions_t) == "01234012");
  BOOST_TEST(shown(batch(dataset, {}, 1).labels_t) == "--$j$---");
  BOOST_TEST(dataset.statistics().fill_ratio(8) == 13.0 / 16.0);
  data.packing_window = 0;
  data.packing = false;
  BOOST_TEST(open().statistics().fill_ratio(8) == 13.0 / 32.0);
}

BOOST_FIXTURE_TEST_CASE(a_begin_token_stands_first_and_is_no_label, Fixture) {
  encoder.begin = begin_token;
  train_on("a.txt",
           "\xEF\xBB\xBF"
           "ab");
  const MicroBatch row = batch(open());
  BOOST_TEST(shown(row.ids_t) == "^ab.....");
  BOOST_TEST(shown(row.labels_t) == "ab$-----");
}

// ---- loss masks

BOOST_FIXTURE_TEST_CASE(of_input_and_output_only_the_output_is_learned, Fixture) {
  data.input_key = "q";
  train_on("a.json", R"([{"q": "abc", "output": "xy"}])");
  const MicroBatch row = batch(open());
  BOOST_TEST(shown(row.ids_t) == "abcxy...");
  BOOST_TEST(shown(row.labels_t) == "--xy$---");
}

BOOST_FIXTURE_TEST_CASE(alpaca_records_get_the_alpaca_prompt, Fixture) {
  data.sequence_length = 240;
  data.packing = false;
  train_on("a.json", R"([{"instruction": "Add.", "input": "1 2", "output": "3"},
                         {"instruction": "Hi", "input": "", "output": "Ho", "text": "no"}])");
  const Dataset dataset = open();
  const std::string with_input =
      "Below is an instruction that describes a task, paired with an input that provides further "
      "context. Write a response that appropriately completes the request.\n\n"
      "### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n3";
  const std::string without =
      "Below is an instruction that describes a task. Write a response that appropriately "
      "completes the request.\n\n### Instruction:\nHi\n\n### Response:\nHo";
  BOOST_TEST(shown(batch(dataset).ids_t).starts_with(with_input + '.'));
  BOOST_TEST(shown(batch(dataset, {}, 1).ids_t).starts_with(without + '.'));
  const std::string labels = shown(batch(dataset).labels_t);
  BOOST_TEST(labels.find_first_not_of('-') == with_input.size() - 2);
  BOOST_TEST(labels.substr(with_input.size() - 2, 3) == "3$-");
  BOOST_TEST(batch(dataset, {}, 1).valid_tokens == 3);
}

BOOST_FIXTURE_TEST_CASE(in_a_chat_only_the_turns_of_the_assistant_are_learned, Fixture) {
  data.sequence_length = 80;
  train_on("b.json", R"([{"messages": [{"role": "system", "content": "S"},
      {"role": "user", "content": "A"}, {"role": "assistant", "content": "bc"},
      {"role": "user", "content": "D"}, {"role": "assistant", "content": "e"}]}])");
  const MicroBatch row = batch(open());
  const std::string text =
      "### System:\nS\n\n### User:\nA\n\n### Assistant:\nbc$### User:\nD\n\n### Assistant:\ne";
  BOOST_TEST(shown(row.ids_t).starts_with(text + '.'));
  std::string labels = shown(row.labels_t);
  labels.erase(std::remove(labels.begin(), labels.end(), '-'), labels.end());
  BOOST_TEST(labels == "bc$e$");
}

BOOST_FIXTURE_TEST_CASE(long_records_are_truncated_and_dropped_when_nothing_is_left, Fixture) {
  train_on("a.jsonl",
           "{\"input\": \"ab\", \"output\": \"0123456789\"}\n"
           "{\"input\": \"abcdefghij\", \"output\": \"x\"}\n{\"input\": \"a\", \"output\": \"b\"}");
  const Dataset dataset = open();
  BOOST_TEST(dataset.statistics().truncated == 2);
  BOOST_TEST(dataset.statistics().dropped == 1);
  BOOST_TEST(dataset.row_count() == 2);
  BOOST_TEST(shown(batch(dataset).labels_t) == "-0123456");
}

BOOST_FIXTURE_TEST_CASE(a_sample_of_the_text_ends_between_characters, Fixture) {
  train_on("a.jsonl", "{\"text\": \"ab\"}\n{\"text\": \"\xC3\xA4\xC3\xB6\"}\n{\"text\": \"z\"}");
  BOOST_TEST(*sample_training_text(data, 100) == "ab\n\xC3\xA4\xC3\xB6\nz\n");
  BOOST_TEST(*sample_training_text(data, 4) == "ab\n\n");
  BOOST_TEST(*sample_training_text(data, 5) == "ab\n\xC3\xA4\n");
}

// ---- bad input

BOOST_FIXTURE_TEST_CASE(bad_records_are_named_by_file_and_line, Fixture) {
  const auto expect = [&](std::string_view content, std::string_view part) {
    data.train = {write("bad.jsonl", content)};
    BOOST_TEST(says(error(), part), content);
  };
  expect("{\"text\": \"a\"}\n{\"text\": ", "bad.jsonl:2: not valid JSON");
  expect("\n[1]", "bad.jsonl:2: a record must be a JSON object");
  expect("{\"text\": \"a\"}\n\n{\"input\": \"a\", \"output\": \"b\"}", "bad.jsonl:3: a record of");
  expect("{\"text\": 3}", "field \"text\" must be a string");
  expect("{\"instruction\": \"a\"}", "field \"output\" is missing");
  expect("{\"question\": \"a\"}", "data.input_key");
  expect(R"({"messages": [{"role": "user", "content": "a"}]})", "nothing to learn");
  expect(R"({"messages": [{"role": "tool", "content": "a"}]})", "must be system, user or");
  expect(R"({"messages": "hi"})", "must be a list of messages");
  expect("{\"text\": \"\xFF\"}", "bad.jsonl:1: not valid JSON");
}

BOOST_FIXTURE_TEST_CASE(data_that_cannot_be_used_is_refused, Fixture) {
  const auto expect = [&](std::string_view name, std::string_view content, std::string_view part) {
    data.train = {write(std::string(name), content)};
    BOOST_TEST(says(error(), part), content);
  };
  expect("e.txt", "", "no record with a token to predict");
  expect("e.jsonl", "\n\n", "no record with a token to predict");
  expect("e.json", "[]", "no record with a token to predict");
  expect("e.jsonl", "{\"text\": \"\"}", "(1 records)");
  expect("e.txt", "\xFF", "not valid UTF-8");
  expect("e.json", "3", "must be a list of records");
  expect("e.jsonl", "{\"input\": \"0123456789\", \"output\": \"a\"}",
         "data.sequence_length 8 cuts");
  data.train = {(directory / "none.txt").string()};
  BOOST_TEST((open_training_data(data, encoder, options).error().code == ErrorCode::not_found));
  data.validation_fraction = 0.5;
  expect("e.jsonl", "{\"text\": \"abc\"}", "leaves none for");
}

BOOST_FIXTURE_TEST_CASE(what_the_model_cannot_take_is_refused, Fixture) {
  train_on("a.txt", "abc");
  options.context_length = 7;
  BOOST_TEST(says(error(), "8 is more than the 7 positions"));
  options.context_length = 8;
  options.vocabulary_size = 256;
  BOOST_TEST(says(error(), "token id 256 does not fit"));
  options.vocabulary_size = 257;
  BOOST_TEST(error() == "no error");
}

}  // namespace
}  // namespace collie
