// Tokenizer throughput: tokenizer_bench [--dump DIR] TOKENIZER FILE... prints one JSON line a file
// with the fields of tokenizer_peer.py; with --dump it also writes the ids (little-endian int32)
// for that script to compare.
#include <fmt/format.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "models/tokenizer/tokenizer.hpp"
#include "runtime/json.hpp"

namespace {

using collie::Json;

namespace fs = std::filesystem;

constexpr int repetitions = 5;

// Processor time, so that other programs on the machine do not count; the peer does the same.
double seconds_since(std::clock_t start) {
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

struct Timing {
  double first_s;  // nothing remembered yet
  double best_s;
  std::vector<std::int32_t> ids;
};

// Each repetition loads anew, so that "first" and what is remembered are as in a fresh program;
// best is the later of two calls.
Timing measure(const std::string& path, const std::string& text) {
  Timing timing{1e30, 1e30, {}};
  for (int i = 0; i < repetitions; ++i) {
    auto tokenizer = collie::Tokenizer::load(path);
    if (!tokenizer) {
      fmt::print(stderr, "{}\n", tokenizer.error().message);
      std::exit(2);
    }
    for (double* best_s : {&timing.first_s, &timing.best_s}) {
      const auto start = std::clock();
      timing.ids = tokenizer->encode(text);
      *best_s = std::min(*best_s, seconds_since(start));
    }
  }
  return timing;
}

double decode_seconds(const std::string& path, const std::vector<std::int32_t>& ids) {
  const auto tokenizer = collie::Tokenizer::load(path);
  double best_s = 1e30;
  for (int i = 0; i < repetitions; ++i) {
    const auto start = std::clock();
    const std::string text = tokenizer->decode(ids);
    best_s = std::min(best_s, seconds_since(start));
  }
  return best_s;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  fs::path dump;
  if (arguments.size() > 2 && arguments[0] == "--dump") {
    dump = arguments[1];
    arguments.erase(arguments.begin(), arguments.begin() + 2);
  }
  if (arguments.size() < 2) {
    fmt::print(stderr, "usage: tokenizer_bench [--dump DIR] TOKENIZER FILE...\n");
    return 2;
  }
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    std::ifstream stream(arguments[i], std::ios::binary);
    if (!stream) {
      fmt::print(stderr, "tokenizer_bench: cannot read {}\n", arguments[i]);
      return 2;
    }
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    const Timing timing = measure(arguments[0], text);
    const double megabytes = static_cast<double>(text.size()) / 1e6;
    const std::string file = fs::path(arguments[i]).filename();
    const Json line{{"mode", "tokenizer"},
                    {"peer", "collie"},
                    {"tokenizer", arguments[0]},
                    {"file", file},
                    {"bytes", text.size()},
                    {"tokens", timing.ids.size()},
                    {"encode_first_mb_per_s", megabytes / timing.first_s},
                    {"encode_again_mb_per_s", megabytes / timing.best_s},
                    {"decode_mb_per_s", megabytes / decode_seconds(arguments[0], timing.ids)}};
    fmt::print("{}\n", line.dump());
    if (!dump.empty()) {
      std::ofstream(dump / (file + ".ids"), std::ios::binary)
          .write(reinterpret_cast<const char*>(timing.ids.data()),
                 static_cast<std::streamsize>(timing.ids.size() * sizeof(std::int32_t)));
    }
  }
  return 0;
}
