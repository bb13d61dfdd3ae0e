#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "actors/cli/command.hpp"
#include "models/dataset/reader.hpp"
#include "models/dataset/tokenize.hpp"
#include "models/tokenizer/tokenizer.hpp"
#include "runtime/config.hpp"
#include "runtime/file.hpp"
#include "runtime/limits.hpp"
#include "runtime/suggest.hpp"
#include "runtime/thread_pool.hpp"

namespace collie::cli {

namespace {

struct TokenizeArguments {
  std::vector<std::string> inputs;  // one configuration, or data files with --tokenizer
  std::vector<std::string> overrides;
  std::string tokenizer;
  std::string output;
  std::string source;
  bool validation = false;
  int threads = 0;
  std::int64_t shard_tokens = TokenizeOptions{}.shard_tokens;
};

struct Job {
  RunConfig config;
  std::vector<std::string> files;
};

std::string name_of(const DataSource& source) {
  return source.name.empty() ? file_name_of(source.path) : source.name;
}

// All sources, or the one that --source names.
Result<std::vector<std::string>> chosen_sources(const DataSection& data,
                                                const std::string& wanted) {
  std::vector<std::string> files;
  std::vector<std::string> names;
  for (const DataSource& source : data.train) {
    names.push_back(name_of(source));
    if (wanted.empty() || names.back() == wanted) files.push_back(source.path);
  }
  if (!files.empty()) return files;
  if (names.empty()) {
    return make_error(ErrorCode::invalid_config, "data.train: name at least one training file");
  }
  return make_error(ErrorCode::invalid_config, "--source: no source of data.train is named {}{}",
                    quoted_name(wanted), did_you_mean(wanted, names));
}

Result<Job> read_job(const TokenizeArguments& arguments) {
  Job job;
  if (!arguments.tokenizer.empty()) {
    const Json config = {{"model", {{"path", arguments.tokenizer}}}};
    COLLIE_TRY(job.config, parse_config(dump_json(config), "--tokenizer", arguments.overrides));
    job.files = arguments.inputs;
    return job;
  }
  if (arguments.inputs.size() != 1) {
    return make_error(ErrorCode::invalid_config,
                      "tokenize: give one configuration, or data files with --tokenizer PATH");
  }
  COLLIE_TRY(job.config, load_config(arguments.inputs.front(), arguments.overrides));
  if (arguments.validation) {
    job.files = job.config.data.validation;
    if (job.files.empty()) {
      return make_error(ErrorCode::invalid_config, "--validation: data.validation names no file");
    }
    return job;
  }
  COLLIE_TRY(job.files, chosen_sources(job.config.data, arguments.source));
  return job;
}

// A tokenizer learns from at most this much of the data, as when it is trained at a run's start.
constexpr std::size_t tokenizer_sample_bytes = std::size_t{64} << 20;

Result<Tokenizer> tokenizer_of(const RunConfig& config) {
  const ModelSection& model = config.model;
  if (model.tokenizer_vocab_size == 0) {
    return Tokenizer::load(model.tokenizer.empty() ? model.path : model.tokenizer);
  }
  COLLIE_TRY(const std::string text, sample_training_text(config.data, tokenizer_sample_bytes));
  TokenizerTraining training;
  training.vocabulary_size = static_cast<int>(model.tokenizer_vocab_size);
  return Tokenizer::train_byte_level_bpe(text, training);
}

void report(const TokenManifest& manifest, const std::string& output, double read_mb,
            double seconds) {
  print_row("directory", output);
  print_row("documents", fmt::format("{} of {} records; {} had nothing to learn in them",
                                     manifest.documents, manifest.records, manifest.empty));
  print_row("tokens", fmt::format("{}, {} of them labels, {} bytes each", manifest.tokens,
                                  manifest.labels, manifest.token_bytes));
  print_row("shards", std::to_string(manifest.shards.size()));
  print_row("tokenizer", fmt::format("{:016x}", manifest.tokenizer));
  print_row("time", fmt::format("{:.2f} s, {:.1f} MB/s", seconds, read_mb / seconds));
}

Status tokenize(const TokenizeArguments& arguments) {
  COLLIE_TRY(const Job job, read_job(arguments));
  COLLIE_TRY(const Tokenizer tokenizer, tokenizer_of(job.config));
  COLLIE_TRY(const auto encoder, make_text_encoder(tokenizer, job.config.data));
  TokenizeOptions options;
  options.vocabulary_size = tokenizer.vocab_size();
  options.shard_tokens = arguments.shard_tokens;
  options.threads = arguments.threads > 0 ? arguments.threads : usable_core_count();
  options.finish = [&](const std::string& directory) { return tokenizer.save(directory); };
  const auto start = std::chrono::steady_clock::now();
  COLLIE_TRY(const TokenManifest manifest,
             tokenize_files(job.files, job.config.data, *encoder, arguments.output, options));
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  double read_mb = 0.0;
  for (const std::string& file : job.files) {
    COLLIE_TRY(const std::uint64_t bytes, file_size_bytes(file));
    read_mb += static_cast<double>(bytes) / 1e6;
  }
  report(manifest, arguments.output, read_mb, taken.count());
  return ok_status();
}

}  // namespace

void add_tokenize(CLI::App& program, Action& action) {
  auto arguments = std::make_shared<TokenizeArguments>();
  CLI::App* verb = program.add_subcommand(
      "tokenize", "Turns data files into a directory of tokens that data.train maps");
  verb->add_option("INPUT", arguments->inputs,
                   "A configuration, whose data.train is read; with --tokenizer, data files")
      ->required();
  verb->add_option("--output", arguments->output,
                   "Directory to write; one that holds tokens is replaced")
      ->type_name("DIR")
      ->required();
  verb->add_option("--tokenizer", arguments->tokenizer, "Model directory or tokenizer.json")
      ->type_name("PATH");
  verb->add_option("--source", arguments->source, "Only the source of data.train of this name")
      ->type_name("NAME");
  verb->add_flag("--validation", arguments->validation, "data.validation instead of data.train");
  verb->add_option("--set", arguments->overrides,
                   "KEY=VALUE with a dotted key, e.g. data.format=text")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  verb->add_option("--threads", arguments->threads, "0: all cores; the output is the same")
      ->check(CLI::Range(0, limits::threads_per_stream_max));
  verb->add_option("--shard-tokens", arguments->shard_tokens, "Most tokens in one file")
      ->check(CLI::Range(std::int64_t{2}, std::int64_t{1} << 32))
      ->capture_default_str();
  set_action(*verb, arguments, tokenize, action);
}

}  // namespace collie::cli
