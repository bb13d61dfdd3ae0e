#include <cmath>
#include <cstring>

#include "kernels/dispatch.hpp"
#include "kernels/rope_impl.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rope_qk_norm_cpu.cpp"
#include "kernels/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {
namespace {

template <class T>
HWY_INLINE float normalize_head(T* head, T* raw, const T* gain, float epsilon,
                                std::int64_t head_dim) {
  FloatVec squares = zero();
  for_vectors(0, head_dim, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    const FloatVec x = load_n(head + i, n);
    squares = hn::MulAdd(x, x, squares);
    store_n(x, raw + i, n);
  });
  const float rstd = 1.0F / std::sqrt(sum_lanes(squares) / static_cast<float>(head_dim) + epsilon);
  for_vectors(0, head_dim, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    const FloatVec x = hn::Mul(load_n(head + i, n), splat(rstd));
    store_n(hn::Mul(x, load_n(gain + i, n)), head + i, n);
  });
  return rstd;
}

// dhead becomes the gradient before the norm; dgain[K] is added to.
template <class T>
HWY_INLINE void differentiate_head(T* dhead, const T* raw, const T* gain, float rstd,
                                   std::int64_t head_dim, float* dgain) {
  FloatVec products = zero();
  for_vectors(0, head_dim, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    const FloatVec dy = load_n(dhead + i, n);
    const FloatVec x = hn::Mul(load_n(raw + i, n), splat(rstd));
    products = hn::MulAdd(hn::Mul(dy, load_n(gain + i, n)), x, products);
    store_n(hn::MulAdd(dy, x, load_n(dgain + i, n)), dgain + i, n);
  });
  const float mean_product = sum_lanes(products) / static_cast<float>(head_dim);
  for_vectors(0, head_dim, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    const FloatVec x = hn::Mul(load_n(raw + i, n), splat(rstd));
    const FloatVec upstream = hn::Mul(load_n(dhead + i, n), load_n(gain + i, n));
    const FloatVec inner = hn::NegMulAdd(x, splat(mean_product), upstream);
    store_n(hn::Mul(inner, splat(rstd)), dhead + i, n);
  });
}

template <class T>
void forward_tokens(const cpu::QkNormForward& op, std::int64_t begin, std::int64_t end) {
  const HeadShape& heads = op.heads;
  const std::int64_t normed = heads.heads + heads.kv_heads;
  for (std::int64_t t = begin; t < end; ++t) {
    T* const token = op.qkv.mutable_data<T>() + t * heads.packed_width();
    T* const raw = op.raw_qk.mutable_data<T>() + t * normed * heads.head_dim;
    for (std::int64_t h = 0; h < normed; ++h) {
      const Tensor& gain = h < heads.heads ? op.q_gain : op.k_gain;
      op.rstd.mutable_data<float>()[t * normed + h] =
          normalize_head(token + h * heads.head_dim, raw + h * heads.head_dim, gain.data<T>(),
                         op.epsilon, heads.head_dim);
    }
  }
}

template <class T>
void backward_tokens(const cpu::QkNormBackward& op, float* partial, std::int64_t begin,
                     std::int64_t end) {
  const HeadShape& heads = op.heads;
  const std::int64_t normed = heads.heads + heads.kv_heads;
  std::memset(partial, 0, 2 * static_cast<std::size_t>(heads.head_dim) * sizeof(float));
  for (std::int64_t t = begin; t < end; ++t) {
    T* const token = op.dqkv.mutable_data<T>() + t * heads.packed_width();
    const T* const raw = op.raw_qk.data<T>() + t * normed * heads.head_dim;
    for (std::int64_t h = 0; h < normed; ++h) {
      const bool query = h < heads.heads;
      differentiate_head(token + h * heads.head_dim, raw + h * heads.head_dim,
                         (query ? op.q_gain : op.k_gain).data<T>(),
                         op.rstd.data<float>()[t * normed + h], heads.head_dim,
                         query ? partial : partial + heads.head_dim);
    }
  }
}

}  // namespace

void qk_norm_forward_tokens(const cpu::QkNormForward& op, std::int64_t begin, std::int64_t end) {
  if (op.qkv.dtype() == DType::f32) {
    forward_tokens<float>(op, begin, end);
  } else {
    forward_tokens<BFloat16>(op, begin, end);
  }
}

void qk_norm_backward_tokens(const cpu::QkNormBackward& op, float* partial, std::int64_t begin,
                             std::int64_t end) {
  if (op.dqkv.dtype() == DType::f32) {
    backward_tokens<float>(op, partial, begin, end);
  } else {
    backward_tokens<BFloat16>(op, partial, begin, end);
  }
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

HWY_EXPORT(qk_norm_forward_tokens);
HWY_EXPORT(qk_norm_backward_tokens);

namespace cpu {

namespace {

// gradient[K] = (gradient +) the tiles' sums in tile order; few enough for one lane.
void sum_partials(const float* partials, std::int64_t tiles, std::int64_t head_dim, bool accumulate,
                  float* gradient) {
  for (std::int64_t i = 0; i < head_dim; ++i) {
    float sum = 0;
    for (std::int64_t tile = 0; tile < tiles; ++tile) sum += partials[tile * 2 * head_dim + i];
    gradient[i] = accumulate ? gradient[i] + sum : sum;
  }
}

}  // namespace

void qk_norm_forward(Stream& stream, const QkNormForward& op) {
  for_tiles(stream, op.qkv.dim(0), qk_norm_tile, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(qk_norm_forward_tokens)(op, begin, end);
  });
}

void qk_norm_backward(Stream& stream, const QkNormBackward& op) {
  const std::int64_t head_dim = op.heads.head_dim;
  const std::int64_t tiles = ceil_div(op.dqkv.dim(0), qk_norm_tile);
  Tensor partials = stream.allocate(DType::f32, {std::max<std::int64_t>(1, tiles), 2 * head_dim});
  float* const sums = partials.mutable_data<float>();
  for_tiles(stream, op.dqkv.dim(0), qk_norm_tile, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(qk_norm_backward_tokens)
    (op, sums + begin / qk_norm_tile * 2 * head_dim, begin, end);
  });
  sum_partials(sums, tiles, head_dim, op.accumulate, op.dq_gain.mutable_data<float>());
  sum_partials(sums + head_dim, tiles, head_dim, op.accumulate, op.dk_gain.mutable_data<float>());
}

}  // namespace cpu
}  // namespace collie::kernels
#endif
