#include "kernels/peak.hpp"

#include <immintrin.h>

#include <algorithm>
#include <chrono>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/peak_cpu.cpp"
#include "kernels/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {

// Enough independent chains to cover the latency of two FMA pipes; each starts elsewhere, because a
// compiler sees through equal ones.
double fma_chains(std::int64_t rounds) {
  FloatVec a0 = splat(1.0F), a1 = splat(1.1F), a2 = splat(1.2F), a3 = splat(1.3F);
  FloatVec a4 = splat(1.4F), a5 = splat(1.5F), a6 = splat(1.6F), a7 = splat(1.7F);
  FloatVec a8 = splat(1.8F), a9 = splat(1.9F), a10 = splat(2.0F), a11 = splat(2.1F);
  const FloatVec x = splat(0.999F);
  const FloatVec y = splat(0.001F);
  for (std::int64_t round = 0; round < rounds; ++round) {
    a0 = hn::MulAdd(a0, x, y), a1 = hn::MulAdd(a1, x, y), a2 = hn::MulAdd(a2, x, y);
    a3 = hn::MulAdd(a3, x, y), a4 = hn::MulAdd(a4, x, y), a5 = hn::MulAdd(a5, x, y);
    a6 = hn::MulAdd(a6, x, y), a7 = hn::MulAdd(a7, x, y), a8 = hn::MulAdd(a8, x, y);
    a9 = hn::MulAdd(a9, x, y), a10 = hn::MulAdd(a10, x, y), a11 = hn::MulAdd(a11, x, y);
  }
  const FloatVec low = hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)), hn::Add(a4, a5));
  const FloatVec high = hn::Add(hn::Add(hn::Add(a6, a7), hn::Add(a8, a9)), hn::Add(a10, a11));
  [[maybe_unused]] volatile float keep = hn::GetLane(hn::Add(low, high));
  return static_cast<double>(rounds * 12 * lanes * 2);
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

namespace {

HWY_EXPORT(fma_chains);

double fma_f32(std::int64_t rounds) {
  return HWY_DYNAMIC_DISPATCH(fma_chains)(rounds);
}

// Highway 1.0 has no name for this instruction, so the compiler is asked for it here alone.
__attribute__((target("avx512f,avx512bf16"))) double dot_bf16(std::int64_t rounds) {
  __m512 sums[12];
  for (int i = 0; i < 12; ++i) sums[i] = _mm512_set1_ps(1.0F + 0.1F * static_cast<float>(i));
  const auto x = (__m512bh)_mm512_set1_epi16(0x3c00);
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (__m512& sum : sums) sum = _mm512_dpbf16_ps(sum, x, x);
  }
  float total = 0.0F;
  for (const __m512& sum : sums) total += sum[0];
  [[maybe_unused]] volatile float keep = total;
  return static_cast<double>(rounds * 12 * 32 * 2);
}

}  // namespace

double measure_peak_flops(DType dtype) {
  const bool has_dot = __builtin_cpu_supports("avx512bf16") != 0;
  const auto chains = dtype == DType::bf16 && has_dot ? dot_bf16 : fma_f32;
  double best = 0.0;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const auto begin = std::chrono::steady_clock::now();
    const double operations = chains(500'000);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    best = std::max(best, operations / elapsed.count());
  }
  return best;
}

}  // namespace collie::kernels
#endif
