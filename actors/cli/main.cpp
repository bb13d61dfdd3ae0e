// collie-actor-node: the one program. Each verb is a file beside this one.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <vector>

#include "actors/cli/command.hpp"
#include "runtime/suggest.hpp"

namespace collie::cli {

namespace {

constexpr const char* exit_code_help =
    "Exit codes: 0 done (also after Ctrl-C, when the run was saved), 2 an input, a file, the "
    "memory or\n"
    "the numbers cannot be used (one line says which), 130 a second Ctrl-C, 134 a broken "
    "invariant.\n"
    "`collie-actor-node VERB --help` explains a verb.";

int usage_error(std::string message) {
  std::replace(message.begin(), message.end(), '\n', ' ');
  fmt::print(stderr, "error: {}; see --help\n", message);
  return exit_input;
}

// The parser's own message for a mistyped verb does not name it.
bool is_unknown_verb(const CLI::App& program, std::string_view word, std::string& message) {
  std::vector<std::string> verbs;
  for (const CLI::App* verb : program.get_subcommands({})) verbs.push_back(verb->get_name());
  if (word.starts_with("-") || std::find(verbs.begin(), verbs.end(), word) != verbs.end()) {
    return false;
  }
  message = fmt::format("no verb {}{}", quoted_name(word), did_you_mean(word, verbs));
  return true;
}

int run(int argc, char** argv) {
  CLI::App program("Trains large language models as a grid of actors.", "collie-actor-node");
  program.set_version_flag("--version", "collie-actor-node " COLLIE_VERSION);
  program.require_subcommand(1);
  program.footer(exit_code_help);
  Action action;
  add_train(program, action);
  add_evaluate(program, action);
  add_generate(program, action);
  add_plan(program, action);
  add_adapter(program, action);
  add_inspect(program, action);
  add_schedule(program, action);
  add_tokenize(program, action);
  std::string message;
  if (argc > 1 && is_unknown_verb(program, argv[1], message)) return usage_error(message);
  if (argc > 2 && std::string_view(argv[1]) == "schedule" &&
      is_unknown_verb(*program.get_subcommand("schedule"), argv[2], message)) {
    return usage_error(message);
  }
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version are "errors" with code 0 that print themselves.
    if (error.get_exit_code() == 0) return program.exit(error);
    return usage_error(error.what());
  }
  return action();
}

}  // namespace

}  // namespace collie::cli

int main(int argc, char** argv) {
  try {
    return collie::cli::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: internal: {}\n", error.what());
    return collie::cli::exit_internal;
  }
}
