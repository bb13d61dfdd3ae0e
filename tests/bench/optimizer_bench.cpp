// The speed of each optimizer's step against what a copy of the same bytes takes.
//
//   optimizer_bench [MILLION PARAMETERS] [THREADS]
//
// One matrix parameter and its gradient with a bf16 copy; the bytes are those that an update has to
// move through memory. What is written without being read (a copy's target) is read all the same,
// so it counts twice. adafactor's are three passes over the gradient.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <vector>

#include "kernels/elementwise.hpp"
#include "models/optimizer.hpp"

namespace {

using namespace collie;

struct Case {
  const char* name;
  double bytes;  // of one parameter: gradient, value twice, bf16 copy twice, states twice
};
constexpr double stateless_bytes = 4 + 8 + 4;
constexpr Case cases[] = {{"lomo", stateless_bytes},          {"sgd", stateless_bytes + 8},
                          {"lion", stateless_bytes + 8},      {"adamw", stateless_bytes + 16},
                          {"sophia", stateless_bytes + 12},   {"adan", stateless_bytes + 32},
                          {"adafactor", stateless_bytes + 16}};

template <class Work>
double median_seconds(Stream& stream, const Work& work) {
  std::vector<double> seconds;
  for (int i = 0; i < 15; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    stream.submit(work);
    stream.synchronize();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::ranges::sort(seconds);
  return seconds[seconds.size() / 2];
}

std::vector<ParameterSpec> one_matrix(std::int64_t rows, std::int64_t cols) {
  ParameterSpec spec;
  spec.name = "layers.0.matrix";
  spec.rows = spec.row_end = rows;
  spec.cols = spec.col_end = cols;
  return {spec};
}

double copy_bytes_per_second(Stream& stream, std::int64_t count) {
  Tensor from = stream.allocate(DType::f32, {count});
  Tensor to = stream.allocate(DType::f32, {count});
  stream.submit([&] { kernels::fill_zero(stream, from); });
  const double seconds = median_seconds(stream, [&] { kernels::cast(stream, from, to); });
  return 12.0 * static_cast<double>(count) / seconds;
}

void measure(Stream& stream, const Case& of, std::int64_t rows, double bandwidth) {
  constexpr std::int64_t cols = 4096;
  Parameters parameters(stream.allocator(), one_matrix(rows, cols), DType::bf16, true);
  stream.submit([&] { parameters.initialize(stream, 1); });
  auto optimizer = make_optimizer({.name = of.name}, parameters, stream.allocator()).value();
  std::int64_t number = 0;
  const double seconds = median_seconds(stream, [&] {
    Steps steps = optimizer->step(stream, {++number, 1e-4, 0.5}, parameters);
    run_alone(steps);
  });
  const double rate = of.bytes * static_cast<double>(rows * cols) / seconds;
  fmt::print("| {} | {:.2f} | {:.1f} | {:.0f} % |\n", of.name, seconds * 1e3, rate * 1e-9,
             100.0 * rate / bandwidth);
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t rows = (argc > 1 ? std::atol(argv[1]) : 16) * 1'000'000 / 4096;
  StreamOptions options;
  options.threads = argc > 2 ? std::atoi(argv[2]) : 2;
  Stream stream(options);
  const double bandwidth = copy_bytes_per_second(stream, 4 * rows * 4096);
  fmt::print(
      "copy: {:.1f} GB/s\n\n| optimizer | ms | GB/s | of a copy's |\n| --- | --- | --- | --- |\n",
      bandwidth * 1e-9);
  for (const Case& of : cases) measure(stream, of, rows, bandwidth);
  return 0;
}
