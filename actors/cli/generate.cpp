#include <unistd.h>

#include <iostream>
#include <memory>
#include <vector>

#include "actors/cli/command.hpp"
#include "actors/cli/stop_signal.hpp"
#include "actors/progress_format.hpp"
#include "models/adapter_switch.hpp"

namespace collie::cli {

namespace {

struct GenerateArguments {
  std::string model;
  std::vector<std::string> prompts;
  std::vector<std::string> adapters;  // DIR or NAME=DIR
  std::string used;                   // adapter
  std::string dtype;
  GenerationOptions generation{.sampling = {.temperature = 0.8, .top_p = 0.95}};
  int threads = 0;
  bool greedy = false;
  bool past_end = false;
  bool echo = false;
  bool stats = false;
};

void print_stats(const GenerationResult& result) {
  const auto made = static_cast<double>(result.ids.size());
  fmt::print(stderr, "[{} prompt tokens in {}, {} new tokens at {:.1f} tok/s, end: {}]\n",
             result.prompt_tokens, format_duration(result.prefill_seconds), result.ids.size(),
             result.decode_seconds > 0.0 ? made / result.decode_seconds : 0.0,
             to_string(result.finish));
}

Status generate_one(Generator& generator, const GenerateArguments& arguments,
                    const std::string& prompt, const std::atomic<bool>& stop) {
  if (arguments.echo) fmt::print("{}", prompt);
  const auto show = [&stop](std::string_view piece) {
    fmt::print("{}", piece);
    std::fflush(stdout);
    return !stop.load();
  };
  COLLIE_TRY(const GenerationResult result, generator.generate(prompt, arguments.generation, show));
  fmt::print("\n");
  std::fflush(stdout);
  if (arguments.stats) print_stats(result);
  return ok_status();
}

// One prompt a line, until the end of the input or a signal.
Status generate_from_input(Generator& generator, const GenerateArguments& arguments,
                           const std::atomic<bool>& stop) {
  const bool interactive = isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
  std::string prompt;
  while (!stop.load()) {
    if (interactive) fmt::print(stderr, "prompt> ");
    if (!std::getline(std::cin, prompt)) break;
    COLLIE_TRY_VOID(generate_one(generator, arguments, prompt, stop));
  }
  return ok_status();
}

// The name of the one to use: what --use says, else the only one.
Result<std::string> add_adapters(const GenerateArguments& arguments, AdapterSwitch& adapters) {
  std::string last;
  std::vector<std::string> names;
  for (const std::string& given : arguments.adapters) {
    const std::size_t equals = given.find('=');
    last = equals == std::string::npos ? given : given.substr(0, equals);
    const std::string directory = equals == std::string::npos ? given : given.substr(equals + 1);
    COLLIE_TRY_VOID(adapters.add(last, directory));
    COLLIE_TRY_VOID(check_base_of(directory, arguments.model));
    names.push_back(last);
  }
  if (!arguments.used.empty()) return arguments.used;
  if (arguments.adapters.size() < 2) return last;
  return make_error(ErrorCode::invalid_config, "--use: say which of the adapters: {}",
                    fmt::join(names, ", "));
}

Status generate(GenerateArguments& arguments) {
  GeneratorOptions options;
  options.threads = arguments.threads;
  if (!arguments.dtype.empty()) {
    COLLIE_TRY(options.dtype, parse_dtype(arguments.dtype));
  }
  arguments.generation.stop_at_end = !arguments.past_end;
  if (arguments.greedy) arguments.generation.sampling.temperature = 0.0;
  COLLIE_TRY_VOID(check_sampling(arguments.generation.sampling));
  AdapterSwitch adapters(arguments.model, options);
  COLLIE_TRY(const std::string used, add_adapters(arguments, adapters));
  COLLIE_TRY(Generator* const chosen, adapters.use(used));
  Generator& generator = *chosen;
  const std::atomic<bool>& stop = watch_stop_signals("\n", InterruptedReads::fail);
  if (arguments.prompts.empty()) return generate_from_input(generator, arguments, stop);
  for (const std::string& prompt : arguments.prompts) {
    if (stop.load()) break;
    COLLIE_TRY_VOID(generate_one(generator, arguments, prompt, stop));
  }
  return ok_status();
}

}  // namespace

void add_generate(CLI::App& program, Action& action) {
  auto arguments = std::make_shared<GenerateArguments>();
  GenerationOptions& generation = arguments->generation;
  CLI::App* verb = program.add_subcommand("generate", "Continue text with a model");
  verb->add_option("MODEL_DIR", arguments->model, "Hugging Face model directory")->required();
  verb->add_option("--prompt", arguments->prompts,
                   "Text to continue; may be repeated. Without it: one prompt a line of the input")
      ->type_name("TEXT")
      ->expected(1)
      ->take_all();
  verb->add_option("--adapter", arguments->adapters,
                   "PEFT directory to use beside the model, NAME=DIR to give it a name; may be "
                   "repeated")
      ->type_name("DIR")
      ->expected(1)
      ->take_all();
  verb->add_option("--use", arguments->used, "Name of the adapter to use, where there are several")
      ->type_name("NAME");
  verb->add_option("--max-tokens", generation.max_tokens, "Most new tokens")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb->add_option("--temperature", generation.sampling.temperature, "0 is greedy")
      ->capture_default_str();
  verb->add_option("--top-k", generation.sampling.top_k, "Only the k most likely tokens; 0: all")
      ->capture_default_str();
  verb->add_option("--top-p", generation.sampling.top_p,
                   "Only the most likely tokens that together have this probability")
      ->capture_default_str();
  verb->add_option("--seed", generation.sampling.seed, "The same seed gives the same text")
      ->capture_default_str();
  verb->add_flag("--greedy", arguments->greedy, "Always the most likely token");
  verb->add_option("--threads", arguments->threads, "0: the machine's cores")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--dtype", arguments->dtype,
                   "float32 or bfloat16; otherwise as the weights are");
  verb->add_flag("--echo", arguments->echo, "Print the prompt before its continuation");
  verb->add_flag("--stats", arguments->stats, "Tokens and speed on the error stream");
  verb->add_flag("--past-end", arguments->past_end, "Go on after the model's end token");
  set_action(*verb, arguments, generate, action);
}

}  // namespace collie::cli
