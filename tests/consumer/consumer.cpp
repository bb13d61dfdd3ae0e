// Uses a header of every folder, and links through to the actor system: a trainer is asked for with
// a configuration that names no data, and says so.
#include <cstdio>

#include "actors/progress.hpp"
#include "actors/trainer.hpp"
#include "models/generator.hpp"
#include "models/registry.hpp"
#include "runtime/config.hpp"

int main(int argc, char** argv) {
  if (argc != 2) return 3;
  const collie::Result<collie::RunConfig> config =
      collie::load_config(argv[1], {"data.train=no-such-file.txt"});
  if (!config) {
    fmt::print(stderr, "{}\n", config.error().message);
    return 1;
  }
  const collie::Result<collie::Trainer> trainer = collie::Trainer::create(*config);
  if (trainer.ok()) return 4;
  fmt::print("{} families; as expected: {}\n", collie::families().size(), trainer.error().message);
  return trainer.error().message.find("no-such-file.txt") == std::string::npos ? 5 : 0;
}
