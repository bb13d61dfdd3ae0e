// Trains as a configuration says and lets the result write.
//
//   cmake --build build/release --target example_train
//   build/release/examples/example_train configs/tiny.json data.train=text.txt
//
// Arguments: a configuration and any number of dotted overrides.
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "actors/progress.hpp"
#include "actors/trainer.hpp"
#include "models/generator.hpp"

namespace {

collie::Status train(const std::string& path, const std::vector<std::string>& overrides) {
  COLLIE_TRY(const collie::RunConfig config, collie::load_config(path, overrides));
  COLLIE_TRY(collie::Trainer trainer, collie::Trainer::create(config));
  trainer.add_callback(std::make_shared<collie::Progress>(
      collie::detect_progress_options(stdout, config.output.log_every_steps)));
  COLLIE_TRY(const collie::TrainingReport report, trainer.run());

  COLLIE_TRY(collie::Generator generator, collie::Generator::load(report.model_directory));
  collie::GenerationOptions options;
  options.max_tokens = 40;
  COLLIE_TRY(const collie::GenerationResult result, generator.generate("The ", options));
  fmt::print("The {}\n", result.text);
  return collie::ok_status();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: {} CONFIG [KEY=VALUE ...]\n", argv[0]);
    return 2;
  }
  const collie::Status status = train(argv[1], {argv + 2, argv + argc});
  if (!status) {
    fmt::print(stderr, "error: {}\n", status.error().message);
    return 2;
  }
  return 0;
}
