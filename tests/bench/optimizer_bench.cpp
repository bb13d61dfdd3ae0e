// The speed of each optimizer's step against the memory-bandwidth bound of the same moment.
//
//   optimizer_bench [--threads N] [--repeats N] [--parameters MILLIONS] [--only NAME...]
//
// Four square matrices, or for muon the seven of one layer, with random gradients; float32, and
// float32 with a bfloat16 copy of the new values for the kernels. Prints one JSON line a case. A
// round measures the bound and one step; of_bound is the median of the rounds' ratios. What a step
// moves is counted once for each read and each write that the rule cannot do without: a store that
// reads its line first is the step's own loss. muon is held against the arithmetic peak of float32
// fused multiply-adds.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "models/optimizer.hpp"
#include "optimizer_bound.hpp"

namespace {

using namespace collie;

// Bytes of one parameter that are read and written, without the copy; states are float32.
struct Case {
  std::string name;
  double read, written;
};
// Adafactor's rule: sums of the gradient's squares over rows and columns, the update's mean square
// that needs them all, the update: three readings of the gradient, two of the values (for the mean
// square that scales the rate).
const std::vector<Case> cases = {{"lomo", 8, 4},       {"sgd", 12, 8},     {"lion", 12, 8},
                                 {"adamw", 16, 12},    {"sophia", 16, 8},  {"adan", 24, 20},
                                 {"adafactor", 20, 4}, {"adalomo", 20, 4}, {"muon", 0, 0}};
constexpr double copy_bytes = 2.0;

struct Arguments {
  int threads = 2, repeats = 15;
  double millions = 67.2;
  std::vector<std::string> only;
};

struct MatrixShape {
  std::int64_t rows, cols;
};

std::vector<MatrixShape> shapes_of(const Arguments& arguments, const std::string& name) {
  if (name == "muon") {
    return {{1024, 1024}, {1024, 1024}, {1024, 1024}, {1024, 1024},
            {2816, 1024}, {2816, 1024}, {1024, 2816}};
  }
  const auto side = static_cast<std::int64_t>(std::sqrt(arguments.millions * 1e6 / 4)) / 64 * 64;
  return std::vector<MatrixShape>(4, {side, side});
}

// A matrix of R <= C: five times the Gram matrix X X^T and its square, of which symmetry leaves a
// half each, and the product with X.
double newton_schulz_flops(const std::vector<MatrixShape>& shapes) {
  double flops = 0.0;
  for (const MatrixShape& shape : shapes) {
    const auto r = static_cast<double>(std::min(shape.rows, shape.cols));
    const auto c = static_cast<double>(std::max(shape.rows, shape.cols));
    flops += 5 * (3 * r * r * c + r * r * r);
  }
  return flops;
}

std::vector<ParameterSpec> specs_of(const std::vector<MatrixShape>& shapes) {
  std::vector<ParameterSpec> specs;
  for (const MatrixShape& shape : shapes) {
    ParameterSpec spec;
    spec.name = fmt::format("layers.{}.matrix", specs.size());
    spec.rows = spec.row_end = shape.rows;
    spec.cols = spec.col_end = shape.cols;
    specs.push_back(spec);
  }
  return specs;
}

// Uniform in [-0.01, 0.01).
void fill_random(Stream& stream, Tensor& tensor) {
  constexpr std::int64_t tile = 64 * 1024;
  float* data = tensor.mutable_data<float>();
  const std::int64_t count = tensor.element_count();
  stream.parallel_for((count + tile - 1) / tile, [&](std::int64_t index, int) {
    auto random = static_cast<std::uint32_t>(index) * 2654435761U + 1U;
    for (std::int64_t i = index * tile; i < std::min(count, (index + 1) * tile); ++i) {
      random = random * 1664525U + 1013904223U;
      data[i] = (static_cast<float>(random >> 8) * 0x1p-23F - 1.0F) * 0.01F;
    }
  });
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void measure(Stream& stream, bench::BandwidthBound& memory, const Arguments& arguments,
             const Case& of, DType dtype) {
  const std::vector<MatrixShape> shapes = shapes_of(arguments, of.name);
  Parameters parameters(stream.allocator(), specs_of(shapes), dtype, true);
  parameters.initialize(stream, 1);
  fill_random(stream, parameters.gradients());
  auto optimizer = make_optimizer({.name = of.name}, parameters, stream.allocator()).value();
  const bool is_muon = of.name == "muon", has_copy = dtype == DType::bf16;
  const auto count = static_cast<double>(parameters.trainable_elements());
  const double written = of.written + (has_copy ? copy_bytes : 0.0);
  const double flops = newton_schulz_flops(shapes);
  std::vector<double> seconds, bounds, ratios;
  const int repeats = is_muon ? std::min(arguments.repeats, 5) : arguments.repeats;
  for (int number = 1; number <= repeats + 2; ++number) {
    const double bound = is_muon
                             ? flops / bench::fma_rate_once(stream)
                             : memory.measure(stream).seconds_for(of.read * count, written * count);
    const double begin = bench::seconds_now();
    Steps steps = optimizer->step(stream, {number, 1e-4, 0.5}, parameters);
    run_alone(steps);
    const double taken = bench::seconds_now() - begin;
    if (number <= 2) continue;  // pages come and caches warm
    seconds.push_back(taken);
    bounds.push_back(bound);
    ratios.push_back(bound / taken);
  }
  fmt::print(
      "{{\"mode\": \"optimizer\", \"peer\": \"collie\", \"optimizer\": \"{}\", \"dtype\": \"{}\", "
      "\"threads\": {}, \"parameters\": {:.0f}, \"step_ms_median\": {:.3f}, \"bound_ms_median\": "
      "{:.3f}, \"of_bound\": {:.3f}, \"read_bytes\": {}, \"written_bytes\": {}, \"flops\": "
      "{:.4g}}}\n",
      of.name, has_copy ? "bfloat16" : "float32", stream.threads(), count, median(seconds) * 1e3,
      median(bounds) * 1e3, median(ratios), of.read, is_muon ? 0.0 : written,
      is_muon ? flops : 0.0);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app{"The speed of each optimizer's step"};
  app.add_option("--threads", arguments.threads)->check(CLI::Range(1, 64));
  app.add_option("--repeats", arguments.repeats)->check(CLI::Range(1, 1000));
  app.add_option("--parameters", arguments.millions)->check(CLI::Range(1.0, 1e4));
  app.add_option("--only", arguments.only);
  CLI11_PARSE(app, argc, argv);
  StreamOptions options;
  options.threads = arguments.threads;
  Stream stream(options);
  stream.submit([&] {
    bench::BandwidthBound memory(stream, static_cast<std::int64_t>(arguments.millions * 1e6));
    for (const Case& of : cases) {
      if (!arguments.only.empty() &&
          std::ranges::find(arguments.only, of.name) == arguments.only.end()) {
        continue;
      }
      for (const DType dtype : {DType::f32, DType::bf16}) {
        measure(stream, memory, arguments, of, dtype);
      }
    }
  });
  stream.synchronize();
  return 0;
}
