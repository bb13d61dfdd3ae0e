#define BOOST_TEST_MODULE dataset_shards
#include "models/dataset/token_shards.hpp"

#include <algorithm>

#include "models/dataset/tokenize.hpp"
#include "runtime/file.hpp"
#include "runtime/hash.hpp"
#include "runtime/json.hpp"
#include "tests/unit/models/dataset_fixture.hpp"

namespace collie {
namespace {

struct Shards : Fixture {
  Shards() { tokens.vocabulary_size = 259; }

  std::string place(const std::string& name) const { return (directory / name).string(); }

  std::string tokenized(const std::string& name, const std::vector<std::string>& files) {
    const auto manifest = tokenize_files(files, data, encoder, place(name), tokens);
    BOOST_REQUIRE_MESSAGE(manifest.ok(), (manifest.ok() ? "" : manifest.error().message));
    return place(name);
  }

  static std::string read(const std::string& path) {
    return read_file(path, std::size_t{1} << 20).value();
  }
  static void overwrite(const std::string& path, std::string_view text) {
    BOOST_REQUIRE(write_file_atomic(path, text).ok());
  }

  TokenizeOptions tokens;
};

// Texts, masked records and a chat: every shape that training reads, in three files.
struct Mixed : Shards {
  Mixed() {
    data.document_separator = "\n\n";
    std::string texts, pairs;
    for (int i = 0; i < 60; ++i) {
      texts += fmt::format("text {} {}\n\n", i, std::string(static_cast<std::size_t>(i % 9), 'x'));
      pairs += fmt::format(R"({{"input": "in {}", "output": "{}"}})", i, i * i) + "\n";
    }
    files = {write("a.txt", texts), write("b.jsonl", pairs),
             write("c.json", R"([{"messages": [{"role": "user", "content": "A"},
                                               {"role": "assistant", "content": "bc"}]}])")};
    data.sequence_length = 32;
    data.shuffle = true;
  }
  std::vector<std::string> files;
};

void check_same_batches(const Fixture& fixture, const Dataset& left, const Dataset& right) {
  BOOST_REQUIRE(left.row_count() == right.row_count());
  Allocator allocator{"test"};
  for (std::int64_t step = 0; step < left.row_count(); ++step) {
    const MicroBatch a = left.micro_batch({1, 1, 2}, step, 0, 0, allocator);
    const MicroBatch b = right.micro_batch({1, 1, 2}, step, 0, 0, allocator);
    BOOST_TEST(shown(a.ids_t) == shown(b.ids_t));
    BOOST_TEST(shown(a.labels_t) == shown(b.labels_t));
    BOOST_TEST(digits(a.positions_t) == digits(b.positions_t));
    BOOST_TEST(a.valid_tokens == b.valid_tokens);
    BOOST_TEST(fixture.data.sequence_length == a.sequence);
  }
}

BOOST_FIXTURE_TEST_CASE(shards_train_as_the_files_they_were_made_from, Mixed) {
  data.train.assign(files.begin(), files.end());
  const Dataset from_files = open();
  for (const std::int64_t shard_tokens : {std::int64_t{1} << 20, std::int64_t{100}}) {
    tokens.shard_tokens = shard_tokens;
    data.train = {tokenized(fmt::format("t{}", shard_tokens), files)};
    const Dataset from_shards = open();
    check_same_batches(*this, from_files, from_shards);
    const DatasetStatistics& statistics = from_shards.statistics();
    BOOST_TEST(statistics.records == from_files.statistics().records);
    BOOST_TEST(statistics.tokens == from_files.statistics().tokens);
    BOOST_TEST(statistics.learned_tokens == from_files.statistics().learned_tokens);
  }
  // What is mapped is no memory of ours.
  const std::size_t held = Dataset::memory_bytes({&from_files});
  data.train = {place("t100")};
  const Dataset mapped = open();
  const auto tokens_and_mask = static_cast<std::size_t>(from_files.statistics().tokens) * 4;
  BOOST_TEST(Dataset::memory_bytes({&mapped}) + tokens_and_mask < held);
}

BOOST_FIXTURE_TEST_CASE(a_fraction_validates_the_same_documents_and_files_may_stand_beside, Mixed) {
  const std::string last = files.back();
  files.pop_back();
  data.validation_fraction = 0.25;
  data.train = {files[0], files[1], last};
  const DataSplits from_files = open_training_data(data, encoder, options).value();
  data.train = {tokenized("t", files), last};
  const DataSplits from_shards = open_training_data(data, encoder, options).value();
  check_same_batches(*this, from_files.train, from_shards.train);
  BOOST_TEST(from_files.validation->row_count() == from_shards.validation->row_count());
  BOOST_TEST(shown(batch(*from_files.validation).ids_t) ==
             shown(batch(*from_shards.validation).ids_t));
  data.max_records = 61;
  BOOST_TEST(open_training_data(data, encoder, options).ok());
}

BOOST_FIXTURE_TEST_CASE(the_bytes_do_not_depend_on_threads_or_batches, Mixed) {
  tokens.shard_tokens = 200;
  const std::string one = tokenized("one", files);
  tokens.threads = 4;
  tokens.batch_bytes = 1000;
  const std::string four = tokenized("four", files);
  const auto names = list_directory(one).value();
  BOOST_TEST(names.size() > 9U);
  BOOST_TEST(names == list_directory(four).value(), boost::test_tools::per_element());
  for (const std::string& name : names) {
    BOOST_TEST(read(join_path(one, name)) == read(join_path(four, name)), name);
  }
}

BOOST_FIXTURE_TEST_CASE(the_files_are_what_the_format_says, Shards) {
  data.document_separator = "|";
  const std::string text = tokenized("t", {write("a.txt", "ab|c||d")});
  const std::string ids = read(text + "/shard-00000.tokens");
  BOOST_TEST((ids == std::string("a\0b\0\0\1c\0\0\1d\0\0\1", 14)));
  BOOST_TEST(!exists(text + "/shard-00000.mask"));
  const std::string index = read(text + "/shard-00000.index");
  BOOST_TEST((index.substr(0, 16) == std::string("\3\0\0\0\0\0\0\0\2\0\0\0\1\0\0\0", 16)));
  const TokenManifest manifest = read_token_manifest(text).value();
  BOOST_TEST(manifest.records == 4);
  BOOST_TEST(manifest.empty == 1);
  BOOST_TEST(manifest.labels == 4);
  tokens.vocabulary_size = 65537;
  const std::string wide = tokenized("w", {write("b.jsonl", R"({"input": "ab", "output": "c"})")});
  BOOST_TEST(
      (read(wide + "/shard-00000.tokens") == std::string("a\0\0\0b\0\0\0c\0\0\0\0\1\0\0", 16)));
  // The first is never predicted and counts as learned; "c" and the end are.
  BOOST_TEST((read(wide + "/shard-00000.mask") == std::string(1, '\x0D')));
  data.train = {wide};
  BOOST_TEST(shown(batch(open()).labels_t) == "-c$-----");
}

BOOST_FIXTURE_TEST_CASE(damage_is_found_before_the_run, Mixed) {
  const std::string made = tokenized("t", files);
  data.train = {made};
  for (const std::string name : {"tokens", "mask", "index"}) {
    const std::string path = fmt::format("{}/shard-00000.{}", made, name);
    const std::string whole = read(path);
    std::string flipped = whole;
    flipped[whole.size() / 2] ^= 1;
    overwrite(path, flipped);
    BOOST_TEST(says(error(), "shard-00000." + name + ": its hash is not"), name);
    overwrite(path, whole.substr(0, whole.size() - 1));
    BOOST_TEST(says(error(), "run tokenize again"), name);
    overwrite(path, whole + "x");
    BOOST_TEST(says(error(), "bytes where manifest.json says"), name);
    std::filesystem::remove(path);
    BOOST_TEST(says(error(), "shard-00000." + name), name);
    overwrite(path, whole);
  }
  BOOST_TEST(error() == "no error");
}

// Whoever can write the files can write fitting hashes, too.
BOOST_FIXTURE_TEST_CASE(hostile_files_with_right_hashes_are_refused, Mixed) {
  const std::string made = tokenized("t", files);
  data.train = {made};
  const Json manifest = parse_json(read(made + "/manifest.json"), "manifest").value();
  const auto forge = [&](const std::string& kind, std::size_t at, std::string_view bytes) {
    const std::string path = made + "/shard-00000." + kind;
    const std::string whole = read(path);
    std::string forged = whole;
    forged.replace(at, bytes.size(), bytes);
    overwrite(path, forged);
    Json changed = manifest;
    changed["shards"][0]["hashes"][kind] = hash_text(hash_bytes(bytes_of(forged)));
    overwrite(made + "/manifest.json", changed.dump());
    const std::string message = error();
    overwrite(path, whole);
    overwrite(made + "/manifest.json", manifest.dump());
    return message;
  };
  using namespace std::string_view_literals;
  BOOST_TEST(says(forge("tokens", 0, "\xFF\xFF"sv), "token id 65535 in a vocabulary of 259"));
  BOOST_TEST(says(forge("index", 0, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"sv), "document 0 does not"));
  BOOST_TEST(says(forge("index", 0, "\1\0\0\0"sv), "document 0 does not fit"));
  BOOST_TEST(says(forge("index", 8, "\1\0\0\0"sv), "the labels of document 0"));
  BOOST_TEST(says(forge("index", 12, "\4\0\0\0"sv), "document 0 does not fit"));
  BOOST_TEST(says(forge("mask", 0, "\0\0"sv), "the labels of document 0"));
  BOOST_TEST(error() == "no error");
}

BOOST_FIXTURE_TEST_CASE(a_manifest_is_not_trusted, Mixed) {
  const std::string made = tokenized("t", files);
  data.train = {made};
  const Json manifest = parse_json(read(made + "/manifest.json"), "manifest").value();
  const auto expect = [&](const char* pointer, const Json& value, std::string_view part) {
    Json changed = manifest;
    changed[Json::json_pointer(pointer)] = value;
    overwrite(made + "/manifest.json", changed.dump());
    BOOST_TEST(says(error(), part), pointer);
  };
  expect("/format", "other", "not a directory of tokens");
  expect("/version", 2, "this program reads 1");
  expect("/tokens", 3, "manifest.json");
  expect("/labels", manifest.at("documents"), "labels where the shards have");
  expect("/documents", 5, "not the sum over the shards");
  expect("/token_bytes", 4, "does not follow from");
  expect("/vocabulary_size", 100, "token id");
  expect("/shards", Json::array(), "expected 1 to");
  expect("/shards/0/name", "../a", "not a plain file name");
  expect("/shards/0/tokens", std::int64_t{1} << 50, "shards[0].tokens");
  expect("/shards/0/documents", -1, "shards[0].documents");
  expect("/shards/0/hashes/tokens", "12", "16 hexadecimal digits");
  expect("/more", 1, "more");
  overwrite(made + "/manifest.json", "{");
  BOOST_TEST(says(error(), "manifest.json"));
  std::filesystem::remove(made + "/manifest.json");
  BOOST_TEST(says(error(), "manifest.json"));
}

BOOST_FIXTURE_TEST_CASE(tokens_of_another_tokenizer_or_model_are_refused, Mixed) {
  const std::string made = tokenized("t", files);
  data.train = {made};
  options.vocabulary_size = 256;
  BOOST_TEST(says(error(), "does not fit the model's vocabulary of 256"));
  options.vocabulary_size = 259;
  BOOST_TEST(error() == "no error");
  encoder.begin = begin_token;
  BOOST_TEST(says(error(),
                  "another tokenizer than the model's: with the same vocabulary, it "
                  "splits or frames text in another way"));
  // As directories were written before the parts had hashes of their own.
  Json old = parse_json(read(made + "/manifest.json"), "manifest").value();
  for (const char* key : {"vocabulary_hash", "split_hash", "beside"}) old.erase(key);
  overwrite(made + "/manifest.json", old.dump());
  BOOST_TEST(says(error(), "another tokenizer than the model's; run tokenize again"));
  encoder.begin.reset();
  BOOST_TEST(error() == "no error");
}

BOOST_FIXTURE_TEST_CASE(a_foreign_file_keeps_a_directory_from_being_replaced, Mixed) {
  tokens.finish = [](const std::string& made) {
    return write_file_atomic(join_path(made, "tokenizer.json"), "{}");
  };
  const std::string made = tokenized("t", files);
  const auto refused = [&] {
    const auto result = tokenize_files(files, data, encoder, made, tokens);
    return result.ok() ? "no error" : result.error().message;
  };
  BOOST_TEST(read_token_manifest(made)->beside == std::vector<std::string>{"tokenizer.json"},
             boost::test_tools::per_element());
  BOOST_TEST(refused() == "no error");  // its own files
  overwrite(join_path(made, "notes.txt"), "mine");
  BOOST_TEST(says(refused(), "holds 'notes.txt', which tokenize did not write"));
  BOOST_TEST(read(join_path(made, "notes.txt")) == "mine");
  std::filesystem::remove(join_path(made, "notes.txt"));
  // What comes while it works is found before it is too late.
  tokens.finish = [&](const std::string&) {
    return write_file_atomic(join_path(made, "late.txt"), "mine");
  };
  BOOST_TEST(says(refused(), "holds 'late.txt'"));
  BOOST_TEST(read(join_path(made, "late.txt")) == "mine");
}

BOOST_FIXTURE_TEST_CASE(what_cannot_be_tokenised_leaves_nothing_behind, Mixed) {
  const auto refused = [&](const std::vector<std::string>& inputs, const std::string& output) {
    const auto result = tokenize_files(inputs, data, encoder, output, tokens);
    return result.ok() ? "no error" : result.error().message;
  };
  const std::string empty = write("empty.jsonl", "\n");
  BOOST_TEST(says(refused({empty}, place("x")), "no record with a token to predict"));
  const std::string bad = write("bad.jsonl", "{\"text\": \"a\"}\n{");
  BOOST_TEST(says(refused({files[0], bad}, place("x")), "bad.jsonl:2"));
  BOOST_TEST(says(refused({directory.string()}, place("x")), "is a directory"));
  tokens.vocabulary_size = 100;
  BOOST_TEST(says(refused(files, place("x")), "does not fit"));
  tokens.vocabulary_size = 259;
  tokens.finish = [](const std::string&) -> Status {
    return make_error(ErrorCode::io, "the disk is full");
  };
  BOOST_TEST(refused(files, place("x")) == "the disk is full");
  tokens.finish = nullptr;
  BOOST_TEST(says(refused(files, directory.string()), "holds no tokens; name a new directory"));
  std::size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory))
    ++entries;
  BOOST_TEST(entries == 5U);  // the five files written here
  // A directory of tokens is replaced whole.
  tokens.shard_tokens = 100;
  const std::string made = tokenized("t", files);
  tokens.shard_tokens = 1 << 20;
  BOOST_TEST(tokenized("t", {files[0]}) == made);
  BOOST_TEST(list_directory(made)->size() == 3U);
}

}  // namespace
}  // namespace collie
