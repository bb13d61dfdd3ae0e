// Tokenizer throughput: tokenizer_bench TOKENIZER FILE... prints one line per file; with --dump DIR
// it also writes the ids (little-endian int32) for tests/bench/tokenizer_peer.py to compare.
#include <fmt/format.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "models/tokenizer/tokenizer.hpp"

namespace {

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
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    const Timing timing = measure(arguments[0], text);
    const double megabytes = static_cast<double>(text.size()) / 1e6;
    const std::string file = fs::path(arguments[i]).filename();
    fmt::print(
        "collie {:<22} {:>8} tokens  encode {:7.1f} MB/s first, {:7.1f} MB/s again  "
        "decode {:7.1f} MB/s\n",
        file, timing.ids.size(), megabytes / timing.first_s, megabytes / timing.best_s,
        megabytes / decode_seconds(arguments[0], timing.ids));
    if (!dump.empty()) {
      std::ofstream(dump / (file + ".ids"), std::ios::binary)
          .write(reinterpret_cast<const char*>(timing.ids.data()),
                 static_cast<std::streamsize>(timing.ids.size() * sizeof(std::int32_t)));
    }
  }
  return 0;
}
