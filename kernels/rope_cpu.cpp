#include "kernels/dispatch.hpp"
#include "kernels/rope_impl.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rope_cpu.cpp"
#include "kernels/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {
namespace {

// (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin) for the two halves of one head.
template <class T>
HWY_INLINE void rotate_head(T* head, std::int64_t half, const float* cos, const float* sin,
                            float direction) {
  for_vectors(0, half, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    const FloatVec c = load_n(cos + i, n);
    const FloatVec s = hn::Mul(load_n(sin + i, n), splat(direction));
    const FloatVec x1 = load_n(head + i, n);
    const FloatVec x2 = load_n(head + half + i, n);
    store_n(hn::NegMulAdd(x2, s, hn::Mul(x1, c)), head + i, n);
    store_n(hn::MulAdd(x1, s, hn::Mul(x2, c)), head + half + i, n);
  });
}

template <class T>
void rotate_tokens(Tensor& qkv, const HeadShape& heads, const RopeTable& table,
                   const std::int32_t* positions, float direction, std::int64_t begin,
                   std::int64_t end) {
  const std::int64_t half = heads.head_dim / 2;
  for (std::int64_t t = begin; t < end; ++t) {
    const std::int64_t position = positions[t];
    COLLIE_CHECK(position >= 0 && position < table.cos_pk.dim(0), "position {} in a table of {}",
                 position, table.cos_pk.dim(0));
    const float* const cos = table.cos_pk.data<float>() + position * half;
    const float* const sin = table.sin_pk.data<float>() + position * half;
    T* head = qkv.mutable_data<T>() + t * heads.packed_width();
    for (std::int64_t h = 0; h < heads.heads + heads.kv_heads; ++h, head += heads.head_dim) {
      rotate_head(head, half, cos, sin, direction);
    }
  }
}

}  // namespace

void rope_tokens(Tensor& qkv, const HeadShape& heads, const RopeTable& table,
                 const std::int32_t* positions, float direction, std::int64_t begin,
                 std::int64_t end) {
  if (qkv.dtype() == DType::f32) {
    rotate_tokens<float>(qkv, heads, table, positions, direction, begin, end);
  } else {
    rotate_tokens<BFloat16>(qkv, heads, table, positions, direction, begin, end);
  }
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

HWY_EXPORT(rope_tokens);

namespace cpu {

namespace {
constexpr std::int64_t rope_tile = 16;
}

void rotate(Stream& stream, Tensor& qkv, const HeadShape& heads, const RopeTable& table,
            const Tensor& positions_t, float direction) {
  const std::int32_t* const positions = positions_t.data<std::int32_t>();
  for_tiles(stream, qkv.dim(0), rope_tile, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(rope_tokens)(qkv, heads, table, positions, direction, begin, end);
  });
}

}  // namespace cpu
}  // namespace collie::kernels
#endif
