// A run directory, a tiny model and the saving of both, as training does it.
#pragma once

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "actors/checkpoint.hpp"
#include "actors/shard_executor.hpp"
#include "models/hf_model.hpp"
#include "models/partition.hpp"
#include "models/registry.hpp"
#include "tests/unit/runtime/temporary_directory.hpp"

namespace collie::test {

// One layer as one shard: few calls, as each of them is a test case.
class TinyModel {
 public:
  TinyModel() : traits_(make_traits()), tokenizer_(make_tokenizer()) {
    const std::string config = std::string(COLLIE_TESTS_DIR) + "/../configs/tiny.json";
    Result<RunConfig> run = load_config(config, {});
    BOOST_REQUIRE_EQUAL(message_of(run), "no error");
    config_ = std::move(run).value();
    auto stages = partition_model(traits_, 1, 8);
    BOOST_REQUIRE(stages.ok());
    ModelExecutorOptions options;
    options.slice = stages->front();
    options.stream.inline_execution = true;  // a forked child has no other threads
    auto executor = ModelExecutor::create(traits_, std::move(options));
    BOOST_REQUIRE_EQUAL(message_of(executor), "no error");
    executor_ = std::move(executor).value();
  }

  void fill(std::uint64_t seed) {
    executor_->parameters().initialize(executor_->stream(), seed);
    executor_->stream().synchronize();
  }

  Status save(const std::string& run, std::int64_t step, bool with_model) const {
    const CheckpointInfo info{step, executor_->parameter_hash(), "llama", {}};
    COLLIE_TRY_VOID(save_checkpoint(run, config_, info, tokenizer_, {executor_.get()}));
    COLLIE_TRY_VOID(prune_checkpoints(run, 2));
    if (!with_model) return ok_status();
    COLLIE_TRY(DirectoryWriter directory, DirectoryWriter::create(join_path(run, "model")));
    ModelAssembler assembler;
    assembler.add(executor_->parameters());
    COLLIE_TRY_VOID(assembler.write(directory, traits_, {}));
    COLLIE_TRY_VOID(tokenizer_.save(directory.temporary_path()));
    return directory.commit();
  }

  Status load(const Checkpoint& checkpoint) {
    COLLIE_TRY(const CheckpointInfo info, read_checkpoint_info(checkpoint));
    COLLIE_TRY_VOID(load_checkpoint(checkpoint, {executor_.get()}));
    if (executor_->parameter_hash() == info.parameter_hash) return ok_status();
    return make_error(ErrorCode::invalid_file, "other parameters than those saved");
  }

 private:
  static ModelTraits make_traits() {
    const Json config{{"model_type", "llama"},      {"vocab_size", 37},
                      {"hidden_size", 16},          {"intermediate_size", 24},
                      {"num_hidden_layers", 1},     {"num_attention_heads", 2},
                      {"num_key_value_heads", 1},   {"max_position_embeddings", 16},
                      {"tie_word_embeddings", true}};
    Result<ModelTraits> traits = parse_model_config(config, "tiny");
    BOOST_REQUIRE_EQUAL(message_of(traits), "no error");
    return std::move(traits).value();
  }
  static Tokenizer make_tokenizer() {
    TokenizerTraining training;
    training.vocabulary_size = 260;
    Result<Tokenizer> tokenizer = Tokenizer::train_byte_level_bpe("a cat, a cat", training);
    BOOST_REQUIRE_EQUAL(message_of(tokenizer), "no error");
    return std::move(tokenizer).value();
  }

  ModelTraits traits_;
  Tokenizer tokenizer_;
  RunConfig config_;
  std::unique_ptr<ModelExecutor> executor_;
};

// Every name in a run directory with all that is in it.
using RunContent = std::map<std::string, std::map<std::string, std::string>>;

inline std::string content_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline RunContent read_run(const std::string& run) {
  RunContent content;
  if (!std::filesystem::exists(run)) return content;
  for (const auto& entry : std::filesystem::directory_iterator(run)) {
    auto& files = content[entry.path().filename()];
    if (!entry.is_directory()) {
      files[""] = content_of(entry.path());
      continue;
    }
    for (const auto& file : std::filesystem::directory_iterator(entry.path())) {
      files[file.path().filename()] = content_of(file.path());
    }
  }
  return content;
}

inline bool is_temporary(std::string_view name) {
  return name.find(".tmp-") != std::string_view::npos;
}

}  // namespace collie::test
