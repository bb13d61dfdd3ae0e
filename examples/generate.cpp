// Continues a text with a Hugging Face model directory, printing each piece as it is made.
//
//   cmake --build build/release --target example_generate
//   build/release/examples/example_generate runs/quickstart/model "Once upon a time"
#include <cstdio>
#include <string>

#include "models/generator.hpp"

namespace {

collie::Status generate(const std::string& model, const std::string& prompt) {
  COLLIE_TRY(collie::Generator generator, collie::Generator::load(model));
  collie::GenerationOptions options;
  options.max_tokens = 100;
  options.sampling = {.temperature = 0.8, .top_k = 50, .top_p = 0.95, .seed = 1};
  const auto show = [](std::string_view piece) {
    fmt::print("{}", piece);
    std::fflush(stdout);
    return true;  // false would end the generation here
  };
  COLLIE_TRY(const collie::GenerationResult result, generator.generate(prompt, options, show));
  fmt::print("\n[{} tokens, end: {}]\n", result.ids.size(), collie::to_string(result.finish));
  return collie::ok_status();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: {} MODEL_DIRECTORY PROMPT\n", argv[0]);
    return 2;
  }
  const collie::Status status = generate(argv[1], argv[2]);
  if (!status) {
    fmt::print(stderr, "error: {}\n", status.error().message);
    return 2;
  }
  return 0;
}
