// Text to token shards: tokenizer_shards_bench [--times N] TOKENIZER FILE... prints one JSON line
// with MB of text a second, best of five, of processor time for one thread: of each stage alone on
// one thread (read: files to records; split: what comes before the merges; encode: split and
// merges; write), and of the whole with one and with two threads, as the verb tokenize does it. N:
// how often each file is taken (default 1).
#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "models/dataset/reader.hpp"
#include "models/dataset/token_shards.hpp"
#include "models/dataset/tokenize.hpp"
#include "models/tokenizer/pre_tokenizer.hpp"
#include "models/tokenizer/tokenizer.hpp"
#include "runtime/check.hpp"
#include "runtime/json.hpp"

namespace collie::bench {
namespace {

namespace fs = std::filesystem;

constexpr int repetitions = 5;

template <class T>
T require(Result<T> result) {
  COLLIE_CHECK(result.ok(), "{}", result.error().message);
  return std::move(result).value();
}
void require_ok(const Status& status) {
  COLLIE_CHECK(status.ok(), "{}", status.error().message);
}

double wall_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
// Of one thread: other programs on the machine do not count, as in tokenizer_bench.
double processor_s() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

double best_seconds(const std::function<void()>& work, double (*now)() = processor_s) {
  double best = 1e30;
  for (int i = 0; i < repetitions; ++i) {
    const double begin = now();
    work();
    best = std::min(best, now() - begin);
  }
  return best;
}

class CountingSink final : public tok::PieceSink {
 public:
  void piece(std::string_view text) override { bytes += text.size(); }
  std::size_t bytes = 0;
};

tok::PreTokenizer load_pre_tokenizer(const std::string& tokenizer) {
  fs::path path = tokenizer;
  if (fs::is_directory(path)) path /= "tokenizer.json";
  Json pre_tokenizer{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  if (fs::exists(path)) {
    std::ifstream stream(path, std::ios::binary);
    pre_tokenizer = Json::parse(stream).at("pre_tokenizer");
  }
  simdjson::dom::parser parser;
  const simdjson::padded_string text(pre_tokenizer.dump());
  simdjson::dom::element element;
  COLLIE_CHECK(parser.parse(text).get(element) == simdjson::SUCCESS, "the pre_tokenizer");
  return require(tok::PreTokenizer::parse(tok::JsonNode(element, tokenizer, "pre_tokenizer")));
}

struct Work {
  std::string tokenizer;
  std::vector<std::string> files;
  fs::path out;
  DataSection data;
  std::vector<Record> records;
  std::size_t text_bytes = 0;

  void read(bool keeps) {
    const auto keep = [&](Record record, std::string_view, bool) {
      if (!keeps) return ok_status();
      for (const TextSpan& span : record.spans) text_bytes += span.text.size();
      records.push_back(std::move(record));
      return ok_status();
    };
    require_ok(read_file_records(files, data, 0, keep));
  }

  std::vector<EncodedRecord> encode() const {
    const Tokenizer loaded = require(Tokenizer::load(tokenizer));
    const auto encoder = make_text_encoder(loaded);
    std::vector<EncodedRecord> encoded;
    for (const Record& record : records) encoded.push_back(encode_record(record, *encoder));
    return encoded;
  }

  void split(const tok::PreTokenizer& pre_tokenizer) const {
    CountingSink sink;
    for (const Record& record : records) {
      for (const TextSpan& span : record.spans) pre_tokenizer.run(span.text, true, sink);
    }
    COLLIE_CHECK(sink.bytes >= text_bytes, "pieces of {} bytes", sink.bytes);
  }

  void write(const std::vector<EncodedRecord>& encoded, std::int64_t vocabulary) const {
    fs::remove_all(out);
    TokenWriter writer =
        require(TokenWriter::create(out, 1, vocabulary, TokenizeOptions{}.shard_tokens));
    for (const EncodedRecord& record : encoded) require_ok(writer.add(record, false));
    require(writer.commit());
  }

  TokenManifest whole(const TextEncoder& encoder, std::int64_t vocabulary, int threads) const {
    fs::remove_all(out);
    TokenizeOptions options;
    options.vocabulary_size = vocabulary;
    options.threads = threads;
    return require(tokenize_files(files, data, encoder, out, options));
  }
};

void measure(Work& work) {
  work.read(true);
  const Tokenizer tokenizer = require(Tokenizer::load(work.tokenizer));
  const auto encoder = make_text_encoder(tokenizer);
  const tok::PreTokenizer pre_tokenizer = load_pre_tokenizer(work.tokenizer);
  const std::int64_t vocabulary = tokenizer.vocab_size();
  const std::vector<EncodedRecord> encoded = work.encode();
  const double megabytes = static_cast<double>(work.text_bytes) / 1e6;
  TokenManifest manifest;
  const auto encode_all = [&] {
    for (const Record& record : work.records) encode_record(record, *encoder);
  };
  const Json line{
      {"mode", "tokenize"},
      {"peer", "collie"},
      {"tokenizer", work.tokenizer},
      {"files", work.files.size()},
      {"text_bytes", work.text_bytes},
      {"read_mb_per_s", megabytes / best_seconds([&] { work.read(false); })},
      {"split_mb_per_s", megabytes / best_seconds([&] { work.split(pre_tokenizer); })},
      {"encode_mb_per_s", megabytes / best_seconds(encode_all)},
      {"write_mb_per_s", megabytes / best_seconds([&] { work.write(encoded, vocabulary); })},
      {"whole_mb_per_s_1",
       megabytes / best_seconds([&] { manifest = work.whole(*encoder, vocabulary, 1); })},
      {"whole_mb_per_s_2",
       megabytes / best_seconds([&] { manifest = work.whole(*encoder, vocabulary, 2); }, wall_s)},
      {"tokens", manifest.tokens}};
  fs::remove_all(work.out);
  fmt::print("{}\n", line.dump());
}

}  // namespace
}  // namespace collie::bench

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  int times = 1;
  if (arguments.size() > 2 && arguments[0] == "--times") {
    std::from_chars(arguments[1].data(), arguments[1].data() + arguments[1].size(), times);
    arguments.erase(arguments.begin(), arguments.begin() + 2);
  }
  if (arguments.size() < 2 || times < 1) {
    fmt::print(stderr, "usage: tokenizer_shards_bench [--times N] TOKENIZER FILE...\n");
    return 2;
  }
  collie::bench::Work work;
  work.tokenizer = arguments[0];
  for (int i = 0; i < times; ++i) {
    work.files.insert(work.files.end(), arguments.begin() + 1, arguments.end());
  }
  work.out = std::filesystem::temp_directory_path() / fmt::format("collie_shards.{}", getpid());
  collie::bench::measure(work);
  return 0;
}
