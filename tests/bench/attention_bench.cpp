// GFLOP/s of causal attention, forward and backward, over the peak of its dtype's products measured
// in the same run. Only the products that causality asks for are counted: 4 K flops for a query and
// key that sees it in the forward, 10 K in the backward.
#include <algorithm>
#include <cstdlib>
#include <random>

#include "kernels/attention.hpp"
#include "tests/bench/peaks.hpp"

namespace collie::kernels {
namespace {

using bench::best_seconds;

Tensor random_tensor(Stream& stream, DType dtype, const Shape& shape) {
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  Tensor tensor = stream.allocate(dtype, shape);
  for (std::int64_t i = 0; i < tensor.element_count(); ++i) {
    if (dtype == DType::f32) {
      tensor.mutable_data<float>()[i] = normal(generator);
    } else {
      tensor.mutable_data<BFloat16>()[i] = BFloat16(normal(generator));
    }
  }
  return tensor;
}

void measure(Stream& stream, DType dtype, const AttentionShape& shape, double peak) {
  const HeadShape& heads = shape.heads;
  const std::int64_t tokens = shape.batch * shape.sequence;
  const Tensor qkv = random_tensor(stream, dtype, {tokens, heads.packed_width()});
  Tensor context = random_tensor(stream, dtype, {tokens, heads.heads * heads.head_dim});
  const Tensor dcontext = random_tensor(stream, dtype, context.shape());
  Tensor lse = stream.allocate(DType::f32, {shape.batch, heads.heads, shape.sequence});
  Tensor dqkv = stream.allocate(dtype, qkv.shape());
  Tensor positions = stream.allocate(DType::i32, {tokens});
  for (std::int64_t t = 0; t < tokens; ++t) {
    positions.mutable_data<std::int32_t>()[t] = static_cast<std::int32_t>(t % shape.sequence);
  }
  const double forward =
      best_seconds([&] { attention_forward(stream, qkv, shape, positions, context, lse); });
  const double backward = best_seconds(
      [&] { attention_backward(stream, dcontext, qkv, context, lse, shape, positions, dqkv); });
  const double pairs = static_cast<double>(shape.batch * heads.heads * shape.sequence *
                                           (shape.sequence + 1) / 2 * heads.head_dim);
  fmt::print(
      "B{} S{:<5} H{:<3} G{:<3} K{:<4} {:<5} {} threads  forward {:6.1f} ({:4.1f} %)"
      "  backward {:6.1f} ({:4.1f} %)\n",
      shape.batch, shape.sequence, heads.heads, heads.kv_heads, heads.head_dim, to_string(dtype),
      stream.threads(), 4 * pairs / forward / 1e9, 400 * pairs / forward / 1e9 / peak,
      10 * pairs / backward / 1e9, 1000 * pairs / backward / 1e9 / peak);
}

// Microseconds to attend from one new token to `length` cached ones.
void measure_decoding(Stream& stream, DType dtype, const HeadShape& heads, std::int64_t length) {
  const AttentionShape shape{1, 1, heads, 0.125F, 0};
  Tensor cache = random_tensor(stream, dtype, {length + 1, 2 * heads.kv_heads * heads.head_dim});
  const Tensor qkv = random_tensor(stream, dtype, {1, heads.packed_width()});
  Tensor context = stream.allocate(dtype, {1, heads.heads * heads.head_dim});
  const double seconds =
      best_seconds([&] { attention_with_cache(stream, qkv, shape, cache, length, context); });
  fmt::print("one token after {} H{} G{} K{} {:<5} {} threads  {:.1f} us  {:.1f} GB/s\n", length,
             heads.heads, heads.kv_heads, heads.head_dim, to_string(dtype), stream.threads(),
             seconds * 1e6, static_cast<double>(cache.size_bytes()) / seconds / 1e9);
}

}  // namespace
}  // namespace collie::kernels

int main(int argc, char** argv) {
  using namespace collie;
  using namespace collie::kernels;
  const int threads_max = argc > 1 ? std::atoi(argv[1]) : 2;
  for (int threads = 1; threads <= threads_max; ++threads) {
    StreamOptions options;
    options.threads = threads;
    options.inline_execution = true;
    Stream stream(options);
    const double f32_peak = bench::fma_peak(stream) / 1e9;
    // Without bf16 products the arithmetic is in f32.
    const double bf16_peak = std::max(f32_peak, bench::bf16_dot_peak(stream) / 1e9);
    fmt::print("peak, {} threads: F32 {:.1f} GFLOP/s, BF16 {:.1f} GFLOP/s\n", threads, f32_peak,
               bf16_peak);
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const double peak = dtype == DType::f32 ? f32_peak : bf16_peak;
      measure(stream, dtype, {4, 512, {6, 6, 64}, 0.125F, 0}, peak);
      measure(stream, dtype, {4, 256, {12, 12, 64}, 0.125F, 0}, peak);
      measure(stream, dtype, {1, 2048, {8, 2, 128}, 0.088F, 0}, peak);
      measure_decoding(stream, dtype, {8, 2, 128}, 2048);
    }
  }
  return EXIT_SUCCESS;
}
