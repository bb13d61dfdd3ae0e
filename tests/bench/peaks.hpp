// What this machine can do at most, measured in the run that quotes it.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <chrono>

#include "runtime/stream.hpp"

namespace collie::bench {

// Best of a few runs over all lanes of the stream; flop/s and bytes/s.
double fma_peak(Stream& stream);         // float32 fused multiply-adds
double bf16_dot_peak(Stream& stream);    // vdpbf16ps; 0 where the processor has none
double triad_bandwidth(Stream& stream);  // a = b + s * c over arrays far larger than the caches

double seconds_now();
// Shortest of the runs that fit in the time, at least three.
template <class Body>
double best_seconds(const Body& body, double budget_s = 0.25) {
  body();
  double best = 1e30;
  const double start = seconds_now();
  for (int runs = 0; runs < 3 || seconds_now() - start < budget_s; ++runs) {
    const double begin = seconds_now();
    body();
    best = std::min(best, seconds_now() - begin);
  }
  return best;
}

namespace detail {

constexpr std::int64_t iterations = 2'000'000;
constexpr int chains = 24;  // more than latency times throughput of any current core

inline __attribute__((target("avx512f"))) float fma_avx512() {
  __m512 sums[chains];
  for (auto& sum : sums) sum = _mm512_set1_ps(1.0F);
  __m512 a = _mm512_set1_ps(0.999F);
  for (std::int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 24
    for (auto& sum : sums) sum = _mm512_fmadd_ps(sum, a, a);
    asm volatile("" : "+v"(a));
  }
  for (int c = 1; c < chains; ++c) sums[0] = _mm512_add_ps(sums[0], sums[c]);
  return _mm512_cvtss_f32(sums[0]);
}

inline __attribute__((target("avx2,fma"))) float fma_avx2() {
  constexpr int ymm_chains = 12;
  __m256 sums[ymm_chains];
  for (auto& sum : sums) sum = _mm256_set1_ps(1.0F);
  __m256 a = _mm256_set1_ps(0.999F);
  for (std::int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = _mm256_fmadd_ps(sum, a, a);
    asm volatile("" : "+x"(a));
  }
  for (int c = 1; c < ymm_chains; ++c) sums[0] = _mm256_add_ps(sums[0], sums[c]);
  return _mm256_cvtss_f32(sums[0]);
}

inline __attribute__((target("avx512f,avx512bf16"))) float dot_bf16() {
  __m512 sums[chains];
  for (auto& sum : sums) sum = _mm512_set1_ps(1.0F);
  __m512i bits = _mm512_set1_epi32(0x3f003f00);
  for (std::int64_t i = 0; i < iterations; ++i) {
    const auto a = reinterpret_cast<__m512bh>(bits);
#pragma GCC unroll 24
    for (auto& sum : sums) sum = _mm512_dpbf16_ps(sum, a, a);
    asm volatile("" : "+v"(bits));
  }
  for (int c = 1; c < chains; ++c) sums[0] = _mm512_add_ps(sums[0], sums[c]);
  return _mm512_cvtss_f32(sums[0]);
}

inline double rate(Stream& stream, float (*kernel)(), double work_per_lane) {
  volatile float sink = 0.0F;
  const double seconds = best_seconds(
      [&] { stream.parallel_for(stream.threads(), [&](std::int64_t, int) { sink = kernel(); }); });
  return stream.threads() * work_per_lane / seconds;
}

}  // namespace detail

inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline double fma_peak(Stream& stream) {
  const auto count = static_cast<double>(detail::iterations);
  if (__builtin_cpu_supports("avx512f"))
    return detail::rate(stream, detail::fma_avx512, count * detail::chains * 32);
  return detail::rate(stream, detail::fma_avx2, count * 12 * 16);
}

inline double bf16_dot_peak(Stream& stream) {
  if (!__builtin_cpu_supports("avx512bf16")) return 0.0;
  return detail::rate(stream, detail::dot_bf16,
                      static_cast<double>(detail::iterations) * detail::chains * 64);
}

inline double triad_bandwidth(Stream& stream) {
  constexpr std::int64_t count = 32 << 20;
  constexpr std::int64_t tile = 1 << 18;
  Tensor a = stream.allocate(DType::f32, {count});
  Tensor b = stream.allocate(DType::f32, {count});
  Tensor c = stream.allocate(DType::f32, {count});
  for (Tensor* tensor : {&a, &b, &c}) std::fill_n(tensor->mutable_data<float>(), count, 1.0F);
  float* out = a.mutable_data<float>();
  const float* in1 = b.data<float>();
  const float* in2 = c.data<float>();
  const double seconds = best_seconds([&] {
    stream.parallel_for(count / tile, [&](std::int64_t index, int) {
      for (std::int64_t i = index * tile; i < (index + 1) * tile; ++i) {
        out[i] = in1[i] + 3.0F * in2[i];
      }
    });
  });
  return 3.0 * sizeof(float) * count / seconds;
}

}  // namespace collie::bench
