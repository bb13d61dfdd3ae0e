// Speed of the kernels against what this machine can do, measured in the same run.
//   kernel_bench [threads ...]     default: 1 and 2 threads
#include <fmt/format.h>

#include <cstdlib>
#include <vector>

#include "kernels/adamw.hpp"
#include "kernels/cross_entropy.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/matmul.hpp"
#include "tests/bench/peaks.hpp"

namespace collie::bench {
namespace {

struct LinearShape {
  std::int64_t t;
  std::int64_t k;
  std::int64_t n;
};
constexpr LinearShape linear_shapes[] = {{2048, 384, 1152}, {2048, 384, 2048}, {2048, 1024, 384},
                                         {512, 384, 32000}, {1024, 768, 3072}, {128, 384, 1152}};

Tensor normal(Stream& stream, DType dtype, const Shape& shape) {
  Tensor tensor = stream.allocate(dtype, shape);
  kernels::fill_normal(stream, tensor, 1.0F, 1, 1, 0);
  return tensor;
}

void bench_linear(Stream& stream, DType dtype, const LinearShape& shape, double peak) {
  const Tensor x = normal(stream, dtype, {shape.t, shape.k});
  const Tensor w = normal(stream, dtype, {shape.n, shape.k});
  const Tensor dy = normal(stream, dtype, {shape.t, shape.n});
  Tensor y = stream.allocate(dtype, {shape.t, shape.n});
  Tensor dx = stream.allocate(dtype, {shape.t, shape.k});
  Tensor dw = normal(stream, DType::f32, {shape.n, shape.k});
  Tensor none;
  const double flop = 2.0 * static_cast<double>(shape.t * shape.k * shape.n);
  const double forward = flop / best_seconds([&] { kernels::linear_forward(stream, x, w, {}, y); });
  const double input =
      flop / best_seconds([&] { kernels::linear_backward_input(stream, dy, w, dx); });
  const double weight =
      flop / best_seconds([&] { kernels::linear_backward_weight(stream, dy, x, dw, none, true); });
  fmt::print(
      "  {:4} {:5} x {:4} x {:5}   {:6.0f} {:3.0f} %   {:6.0f} {:3.0f} %   {:6.0f} {:3.0f} %\n",
      to_string(dtype), shape.t, shape.k, shape.n, forward / 1e9, 100 * forward / peak, input / 1e9,
      100 * input / peak, weight / 1e9, 100 * weight / peak);
}

void bench_cross_entropy(Stream& stream, DType dtype, double bandwidth) {
  const std::int64_t tokens = 512;
  const std::int64_t vocabulary = 32000;
  Tensor logits = normal(stream, dtype, {tokens, vocabulary});
  Tensor labels = stream.allocate(DType::i32, {tokens});
  std::fill_n(labels.mutable_data<std::int32_t>(), tokens, 7);
  Tensor stats = stream.allocate(DType::f32, {tokens, 3});
  Tensor losses = stream.allocate(DType::f32, {tokens});
  const double stats_s =
      best_seconds([&] { kernels::cross_entropy_stats(stream, logits, labels, 0, stats); });
  const double backward_s = best_seconds(
      [&] { kernels::cross_entropy_backward(stream, logits, labels, 0, stats, 1.0F, losses); });
  const auto bytes = static_cast<double>(logits.size_bytes());
  fmt::print(
      "  cross entropy {:4} {} x {}: statistics {:.2f} ms ({:.0f} GB/s), gradient {:.2f} ms "
      "({:.0f} GB/s); triad {:.0f} GB/s\n",
      to_string(dtype), tokens, vocabulary, stats_s * 1e3, bytes / stats_s / 1e9, backward_s * 1e3,
      2 * bytes / backward_s / 1e9, bandwidth / 1e9);
}

void bench_adamw(Stream& stream, bool with_copy, double bandwidth) {
  const std::int64_t count = 32 << 20;
  Tensor param = stream.allocate(DType::f32, {count});
  Tensor grad = stream.allocate(DType::f32, {count});
  Tensor m = stream.allocate(DType::f32, {count});
  Tensor v = stream.allocate(DType::f32, {count});
  for (Tensor* tensor : {&param, &grad, &m, &v}) kernels::fill_zero(stream, *tensor);
  Tensor copy = with_copy ? stream.allocate(DType::bf16, {count}) : Tensor();
  const double seconds = best_seconds(
      [&] { kernels::adamw_step(stream, {.learning_rate = 1e-3}, param, grad, m, v, copy); });
  const double bytes = (with_copy ? 30.0 : 28.0) * static_cast<double>(count);
  fmt::print("  AdamW {}: {:.2f} ps per parameter, {:.0f} GB/s, {:.0f} % of triad\n",
             with_copy ? "f32 + bf16 copy" : "f32", seconds * 1e12 / static_cast<double>(count),
             bytes / seconds / 1e9, 100 * bytes / seconds / bandwidth);
}

void bench_all(Stream& stream) {
  const double f32_peak = fma_peak(stream);
  const double dot_peak = bf16_dot_peak(stream);
  const double bandwidth = triad_bandwidth(stream);
  const double bf16_peak = dot_peak > 0.0 ? dot_peak : f32_peak;
  fmt::print("{} threads: FMA {:.0f} GFLOP/s, bf16 dot {:.0f} GFLOP/s, triad {:.0f} GB/s\n",
             stream.threads(), f32_peak / 1e9, dot_peak / 1e9, bandwidth / 1e9);
  fmt::print("  linear layers, GFLOP/s and share of the peak\n");
  fmt::print("  type     T x    K x     N     forward        input gradient  weight gradient\n");
  for (const LinearShape& shape : linear_shapes) bench_linear(stream, DType::f32, shape, f32_peak);
  for (const LinearShape& shape : linear_shapes) {
    bench_linear(stream, DType::bf16, shape, bf16_peak);
  }
  bench_cross_entropy(stream, DType::f32, bandwidth);
  bench_cross_entropy(stream, DType::bf16, bandwidth);
  bench_adamw(stream, false, bandwidth);
  bench_adamw(stream, true, bandwidth);
}

}  // namespace
}  // namespace collie::bench

int main(int argc, char** argv) {
  std::vector<int> threads;
  for (int i = 1; i < argc; ++i) threads.push_back(std::atoi(argv[i]));
  if (threads.empty()) threads = {1, 2};
  fmt::print("{}\n", collie::describe({}));
  for (const int count : threads) {
    collie::Stream stream({.device = {}, .name = "bench", .threads = count});
    stream.submit([&] { collie::bench::bench_all(stream); });
    stream.synchronize();
  }
}
