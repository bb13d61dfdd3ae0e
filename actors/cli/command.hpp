// What the verbs of collie-actor-node share.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/dtype.hpp"
#include "runtime/result.hpp"

namespace collie::cli {

// The program's exit codes; the README and --help list them.
enum ExitCode : int {
  exit_ok = 0,         // also when a run was stopped and saved
  exit_internal = 1,   // a fault of this program
  exit_input = 2,      // something given to the program cannot be used: one line says what
  exit_stopped = 130,  // a second Ctrl-C
};

// What to run once the command line has been read.
using Action = std::function<int()>;

// Each adds one verb to the program and sets the action when it was chosen.
void add_train(CLI::App& program, Action& action);
void add_adapter(CLI::App& program, Action& action);
void add_evaluate(CLI::App& program, Action& action);
void add_generate(CLI::App& program, Action& action);
void add_inspect(CLI::App& program, Action& action);
void add_plan(CLI::App& program, Action& action);
void add_schedule(CLI::App& program, Action& action);
void add_tokenize(CLI::App& program, Action& action);

// What every verb that works on a configuration is given.
struct ConfigArguments {
  std::string file;
  std::vector<std::string> overrides;  // of --set, in the order given
};
// A verb with CONFIG and --set.
CLI::App* add_config_verb(CLI::App& program, const std::string& name, const std::string& help,
                          ConfigArguments& arguments);

// Prints "error: <message>" and returns the exit code that belongs to the error.
int report_error(const Error& error);

// Makes perform(*arguments), which returns a Status, what the program does when the verb is chosen.
template <class Arguments, class Perform>
void set_action(CLI::App& verb, const std::shared_ptr<Arguments>& arguments, Perform perform,
                Action& action) {
  verb.callback([arguments, perform, &action] {
    action = [arguments, perform] {
      const Status status = perform(*arguments);
      return status ? static_cast<int>(exit_ok) : report_error(status.error());
    };
  });
}

// "float32", "bfloat16" as configurations name them.
Result<DType> parse_dtype(const std::string& name);

// Refuses an adapter that was trained beside another model; a doubt is printed as a warning on the
// error stream.
Status check_base_of(const std::string& adapter, const std::string& model);

// One line of a table: a label and what belongs to it.
void print_row(std::string_view label, std::string_view value);

}  // namespace collie::cli
