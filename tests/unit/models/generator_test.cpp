#define BOOST_TEST_MODULE generator
#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "models/generator.hpp"
#include "runtime/file.hpp"
#include "runtime/safetensors.hpp"

using namespace collie;
namespace fs = std::filesystem;

namespace {

// A golden model with a tokenizer whose 96 ids are the characters from the space on.
class ModelFolder {
 public:
  explicit ModelFolder(const std::string& family)
      : path_(fs::temp_directory_path() / fmt::format("collie_generator_{}_{}", family, getpid())) {
    fs::remove_all(path_);
    fs::create_directories(path_);
    const fs::path golden = fs::path(COLLIE_TESTS_DIR) / "goldens/models" / family;
    for (const auto& entry : fs::directory_iterator(golden)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("model") || name.starts_with("config")) {
        fs::copy_file(entry.path(), path_ / name);
      }
    }
    Json vocabulary = Json::object();
    for (int id = 0; id < 96; ++id) vocabulary[std::string(1, static_cast<char>(32 + id))] = id;
    const Json tokenizer = {
        {"version", "1.0"},
        {"added_tokens", Json::array()},
        {"normalizer", nullptr},
        {"pre_tokenizer", nullptr},
        {"post_processor", nullptr},
        {"decoder", {{"type", "Fuse"}}},
        {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}}}};
    write("tokenizer.json", dump_json(tokenizer));
    const auto file = SafetensorsFile::open((golden / "golden.safetensors").string()).value();
    prompt = text_of(file, "prompt");
    greedy = text_of(file, "greedy");
  }
  ~ModelFolder() { fs::remove_all(path_); }

  void write(const std::string& name, const std::string& text) const {
    BOOST_REQUIRE(write_file_atomic((path_ / name).string(), text).ok());
  }
  Generator load(int threads = 1) const {
    auto loaded = Generator::load(path_.string(), {.threads = threads, .dtype = DType::f32});
    BOOST_REQUIRE_MESSAGE(loaded.ok(), (loaded.ok() ? "" : loaded.error().message));
    return std::move(loaded).value();
  }

  std::string prompt;  // what transformers was given and what it went on with
  std::string greedy;

 private:
  static std::string text_of(const SafetensorsFile& file, std::string_view name) {
    const Tensor ids = file.tensor(name).value();
    std::string text;
    for (std::int64_t i = 0; i < ids.element_count(); ++i) {
      text += static_cast<char>(32 + ids.data<std::int64_t>()[i]);
    }
    return text;
  }
  fs::path path_;
};

GenerationOptions go_on(std::int64_t max_tokens) {
  GenerationOptions options;
  options.max_tokens = max_tokens;
  options.stop_at_end = false;
  return options;
}

}  // namespace

BOOST_AUTO_TEST_CASE(greedy_tokens_are_those_of_transformers) {
  for (const char* family :
       {"llama2", "llama3", "llama3_tied", "mistral", "qwen2", "qwen3", "gpt2"}) {
    const ModelFolder folder(family);
    for (const int threads : {1, 2}) {
      Generator generator = folder.load(threads);
      const auto result = generator.generate(folder.prompt, go_on(12));
      BOOST_REQUIRE_MESSAGE(result.ok(), (result.ok() ? "" : result.error().message));
      BOOST_TEST(result->text == folder.greedy, family);
      BOOST_TEST(result->prompt_tokens == 5);
      BOOST_TEST((result->finish == FinishReason::max_tokens));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_generator_may_be_used_again) {
  const ModelFolder folder("llama3");
  Generator generator = folder.load();
  const std::string first = generator.generate(folder.prompt, go_on(12)).value().text;
  BOOST_TEST(generator.generate("another prompt", go_on(12)).value().text != first);
  BOOST_TEST(generator.generate(folder.prompt, go_on(12)).value().text == first);
}

BOOST_AUTO_TEST_CASE(text_comes_in_pieces_and_may_be_stopped) {
  const ModelFolder folder("llama2");
  Generator generator = folder.load();
  std::string pieces;
  const auto whole = generator.generate(folder.prompt, go_on(12), [&](std::string_view piece) {
    pieces += piece;
    return true;
  });
  BOOST_TEST(pieces == whole->text);
  int calls = 0;
  const auto stopped =
      generator.generate(folder.prompt, go_on(12), [&](std::string_view) { return ++calls < 3; });
  BOOST_TEST((stopped->finish == FinishReason::cancelled));
  BOOST_TEST(stopped->text == whole->text.substr(0, 3));
}

BOOST_AUTO_TEST_CASE(the_seed_decides) {
  const ModelFolder folder("qwen3");
  Generator generator = folder.load();
  GenerationOptions options = go_on(20);
  options.sampling.temperature = 1.5;
  options.sampling.seed = 7;
  const std::string once = generator.generate("abc", options).value().text;
  BOOST_TEST(generator.generate("abc", options).value().text == once);
  options.sampling.seed = 8;
  BOOST_TEST(generator.generate("abc", options).value().text != once);
}

BOOST_AUTO_TEST_CASE(ends_at_the_end_token_and_at_the_context) {
  const ModelFolder folder("llama2");
  const int second = folder.greedy[1] - 32;
  BOOST_REQUIRE(folder.greedy[0] != folder.greedy[1]);
  folder.write("generation_config.json", fmt::format(R"({{"eos_token_id": [1, {}]}})", second));
  Generator generator = folder.load();
  const auto ended = generator.generate(folder.prompt, {}).value();
  BOOST_TEST((ended.finish == FinishReason::end_token));
  BOOST_TEST(ended.text == folder.greedy.substr(0, 1));

  const auto full = generator.generate(folder.prompt, go_on(1000)).value();
  BOOST_TEST((full.finish == FinishReason::context_full));
  BOOST_TEST(full.ids.size() == 64U - 5U);
}

BOOST_AUTO_TEST_CASE(unusable_prompts_and_options_are_named) {
  const ModelFolder folder("gpt2");
  Generator generator = folder.load();
  const auto too_long = generator.generate(std::string(64, 'a'));
  BOOST_REQUIRE(!too_long.ok());
  BOOST_TEST((too_long.error().code == ErrorCode::invalid_data));
  BOOST_TEST(too_long.error().message.find("64 tokens") != std::string::npos);
  BOOST_TEST(!generator.generate("").ok());
  BOOST_TEST(!generator.generate("a", go_on(0)).ok());
  GenerationOptions options;
  options.sampling.top_p = 1.5;
  BOOST_TEST(generator.generate("a", options).error().message.find("top_p") != std::string::npos);
  BOOST_TEST(generator.generate(std::string(63, 'a'), go_on(5))->ids.size() == 1U);
  BOOST_TEST((Generator::load("/nonexistent").error().code == ErrorCode::not_found));
}
