#include "actors/cli/command.hpp"

#include <cstdio>

#include "models/peft/adapter_base.hpp"

namespace collie::cli {

int report_error(const Error& error) {
  fmt::print(stderr, "error: {}\n", error.message);
  return error.code == ErrorCode::lost ? exit_internal : exit_input;
}

CLI::App* add_config_verb(CLI::App& program, const std::string& name, const std::string& help,
                          ConfigArguments& arguments) {
  CLI::App* verb = program.add_subcommand(name, help);
  verb->add_option("CONFIG", arguments.file, "JSON file, see configs/")->required();
  verb->add_option("--set", arguments.overrides, "KEY=VALUE with a dotted key, e.g. train.lr=1e-4")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  return verb;
}

Result<DType> parse_dtype(const std::string& name) {
  if (name == "float32") return DType::f32;
  if (name == "bfloat16") return DType::bf16;
  return make_error(ErrorCode::invalid_config, "--dtype: \"{}\" is neither float32 nor bfloat16",
                    name);
}

Status check_base_of(const std::string& adapter, const std::string& model) {
  COLLIE_TRY(const std::string doubt, check_adapter_base(adapter, model));
  if (!doubt.empty()) fmt::print(stderr, "warning: {}\n", doubt);
  return ok_status();
}

void print_row(std::string_view label, std::string_view value) {
  fmt::print("{:<15} {}\n", label, value);
}

}  // namespace collie::cli
