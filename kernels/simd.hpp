// SIMD with run-time dispatch for the element-wise kernels (Google Highway). One file per operator:
//
//   #undef HWY_TARGET_INCLUDE
//   #define HWY_TARGET_INCLUDE "kernels/X_cpu.cpp"
//   #include "kernels/simd.hpp"  // compiles this very file once per target
//   HWY_BEFORE_NAMESPACE();
//   namespace collie::kernels::HWY_NAMESPACE { /* code of one target; lambdas need HWY_ATTR */ }
//   HWY_AFTER_NAMESPACE();
//   #if HWY_ONCE
//   namespace collie::kernels { HWY_EXPORT(f); void g() { HWY_DYNAMIC_DISPATCH(f)(...); } }
//   #endif
//
// Every other header must be included before HWY_BEFORE_NAMESPACE.
#ifndef COLLIE_KERNELS_SIMD_TARGETS
#define COLLIE_KERNELS_SIMD_TARGETS
// Left: AVX3 (AVX-512 F, BW, CD, DQ, VL), AVX2 with FMA, and portable code for older processors.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#endif

#include <hwy/foreach_target.h>
// The targets come first: highway.h reads them.
#include <hwy/highway.h>

// The rest is compiled once per target, so it is not guarded by #pragma once.
#if defined(COLLIE_KERNELS_SIMD_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef COLLIE_KERNELS_SIMD_INL
#undef COLLIE_KERNELS_SIMD_INL
#else
#define COLLIE_KERNELS_SIMD_INL
#endif

#include <hwy/contrib/math/math-inl.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "runtime/dtype.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using FloatVec = hn::Vec<FloatTag>;
using HalfTag = hn::Rebind<std::uint16_t, FloatTag>;  // as many 16-bit lanes as a FloatVec has
using HalfVec = hn::Vec<HalfTag>;

inline constexpr std::int64_t lanes = static_cast<std::int64_t>(HWY_LANES(float));

HWY_INLINE FloatVec splat(float value) {
  return hn::Set(FloatTag(), value);
}
HWY_INLINE FloatVec zero() {
  return hn::Zero(FloatTag());
}

HWY_INLINE FloatVec from_bf16(HalfVec half) {
  const hn::RebindToUnsigned<FloatTag> d32;
  return hn::BitCast(FloatTag(), hn::ShiftLeft<16>(hn::PromoteTo(d32, half)));
}

// Rounds to nearest, ties to even; a NaN stays a NaN: the same bits as BFloat16(float).
HWY_INLINE HalfVec to_bf16(FloatVec value) {
  const hn::RebindToUnsigned<FloatTag> d32;
  const auto raw = hn::BitCast(d32, value);
  const auto high = hn::ShiftRight<16>(raw);
  const auto odd = hn::And(high, hn::Set(d32, 1U));
  const auto rounded = hn::ShiftRight<16>(hn::Add(raw, hn::Add(odd, hn::Set(d32, 0x7fffU))));
  const auto quiet = hn::Or(high, hn::Set(d32, 0x40U));
  const auto nan = hn::RebindMask(d32, hn::IsNaN(value));
  const auto bits = hn::IfThenElse(nan, quiet, rounded);
#if HWY_TARGET == HWY_SCALAR
  return HalfVec(static_cast<std::uint16_t>(bits.raw));
#else
  // The saturating demotion is exact: bits fit 16 bits, and it is one instruction on AVX-512.
  const hn::RebindToSigned<FloatTag> di32;
  return hn::DemoteTo(HalfTag(), hn::BitCast(di32, bits));
#endif
}

// Loads and stores need no alignment.
HWY_INLINE FloatVec load(const float* from) {
  return hn::LoadU(FloatTag(), from);
}
HWY_INLINE FloatVec load(const BFloat16* from) {
  return from_bf16(hn::LoadU(HalfTag(), reinterpret_cast<const std::uint16_t*>(from)));
}
HWY_INLINE void store(FloatVec value, float* to) {
  hn::StoreU(value, FloatTag(), to);
}
HWY_INLINE void store(FloatVec value, BFloat16* to) {
  hn::StoreU(to_bf16(value), HalfTag(), reinterpret_cast<std::uint16_t*>(to));
}

// The first `count` < lanes elements only; the other lanes of a load are zero.
template <class T>
HWY_INLINE FloatVec load_partial(const T* from, std::int64_t count) {
  HWY_ALIGN T buffer[static_cast<std::size_t>(lanes)];
  std::memset(static_cast<void*>(buffer), 0, sizeof(buffer));
  std::memcpy(static_cast<void*>(buffer), from, static_cast<std::size_t>(count) * sizeof(T));
  return load(buffer);
}
template <class T>
HWY_INLINE void store_partial(FloatVec value, T* to, std::int64_t count) {
  HWY_ALIGN T buffer[static_cast<std::size_t>(lanes)];
  store(value, buffer);
  std::memcpy(static_cast<void*>(to), buffer, static_cast<std::size_t>(count) * sizeof(T));
}

HWY_INLINE float sum_lanes(FloatVec value) {
  return hn::GetLane(hn::SumOfLanes(FloatTag(), value));
}
HWY_INLINE float max_lanes(FloatVec value) {
  return hn::GetLane(hn::MaxOfLanes(FloatTag(), value));
}
// All bits set in the first `count` lanes, count <= lanes.
HWY_INLINE hn::Mask<FloatTag> first_lanes(std::int64_t count) {
  return hn::FirstN(FloatTag(), static_cast<std::size_t>(count));
}
template <int Count>
HWY_INLINE FloatVec polynomial(const float (&coefficients)[Count], FloatVec x) {
  FloatVec y = splat(coefficients[Count - 1]);
#pragma GCC unroll 8
  for (int i = Count - 2; i >= 0; --i) y = hn::MulAdd(y, x, splat(coefficients[i]));
  return y;
}

inline constexpr float exponent_limit = 87.0F;

// exp(x) within 1 ulp for |x| <= exponent_limit, where no step can overflow or underflow: half the
// instructions of the general one.
HWY_INLINE FloatVec exp_within_limit(FloatVec x) {
  const hn::RebindToSigned<FloatTag> di;
  constexpr float log2_e = 1.44269502162933F;
  // Minimax for 2^f on [-1/2, 1/2], relative error 2e-9 before rounding.
  constexpr float terms[] = {1.0F,
                             0.69314720573727F,
                             0.24022646890628F,
                             0.05550328776970F,
                             0.00961848895779F,
                             0.00133999312177F,
                             0.00015345811821F};
  const FloatVec magic = splat(12582912.0F);  // 1.5 * 2^23: the sum's low bits are the rounded one
  const FloatVec shifted = hn::MulAdd(x, splat(log2_e), magic);
  const FloatVec whole = hn::Sub(shifted, magic);
  // ln 2 in two parts; products with the short first one are exact.
  const FloatVec high = hn::NegMulAdd(whole, splat(0.693359375F), x);
  const FloatVec rest = hn::MulAdd(whole, splat(2.12194440e-4F), high);
  const FloatVec f = hn::Mul(rest, splat(log2_e));
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(di, shifted));
  return hn::BitCast(FloatTag(), hn::Add(hn::BitCast(di, polynomial(terms, f)), exponent));
}

// The same for any x <= 0, and 0 where exp(x) is less than exp(-exponent_limit). A NaN stays a NaN.
HWY_INLINE FloatVec exp_of_negative(FloatVec x) {
  const FloatVec value = exp_within_limit(hn::Max(x, splat(-exponent_limit)));
  const FloatVec flushed = hn::IfThenZeroElse(hn::Lt(x, splat(-exponent_limit)), value);
  return hn::IfThenElse(hn::IsNaN(x), x, flushed);
}

// body(index, count) for vectors of consecutive elements: count is `lanes`, less for the last. In
// body, load_n and store_n cost nothing for whole vectors. Mark the lambda with HWY_ATTR.
template <class Body>
HWY_INLINE void for_vectors(std::int64_t begin, std::int64_t end, const Body& body) {
  std::int64_t index = begin;
  for (; index + lanes <= end; index += lanes) body(index, lanes);
  if (index < end) body(index, end - index);
}
template <class T>
HWY_INLINE FloatVec load_n(const T* from, std::int64_t count) {
  return count == lanes ? load(from) : load_partial(from, count);
}
template <class T>
HWY_INLINE void store_n(FloatVec value, T* to, std::int64_t count) {
  count == lanes ? store(value, to) : store_partial(value, to, count);
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target toggle
