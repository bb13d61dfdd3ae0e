#include "kernels/activation_impl.hpp"
#include "kernels/dispatch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/activation_cpu.cpp"
#include "kernels/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {
namespace {

// A NaN passes.
HWY_INLINE FloatVec clamp(FloatVec x, float limit) {
  const FloatVec below = hn::IfThenElse(hn::Gt(x, splat(limit)), splat(limit), x);
  return hn::IfThenElse(hn::Lt(below, splat(-limit)), splat(-limit), below);
}

struct Sigmoid {
  FloatVec value;
  FloatVec rest;  // 1 - value, without the loss of that difference
};

HWY_INLINE Sigmoid sigmoid(FloatVec x) {
  const FloatVec one = splat(1.0F);
  const FloatVec e = exp_within_limit(hn::Neg(clamp(x, exponent_limit)));
  const FloatVec value = hn::Div(one, hn::Add(one, e));
  return {value, hn::Mul(e, value)};
}

struct ValueAndSlope {
  FloatVec value;
  FloatVec slope;
};

HWY_INLINE ValueAndSlope silu(FloatVec x) {
  const Sigmoid s = sigmoid(x);
  const FloatVec value = hn::Mul(x, s.value);
  return {value, hn::MulAdd(value, s.rest, s.value)};
}

// Beyond this both forms are x or 0 to f32; it keeps exponents below within their limit.
constexpr float gelu_limit = 13.0F;

// 0.5 x (1 + tanh(u)) is x sigmoid(2 u), which loses nothing for negative x.
struct TanhGelu {
  HWY_INLINE ValueAndSlope operator()(FloatVec x) const {
    constexpr float two_c = 1.595769121605730712F;  // 2 sqrt(2 / pi)
    const FloatVec near = clamp(x, gelu_limit);
    const FloatVec square = hn::Mul(near, near);
    const FloatVec inner = hn::MulAdd(square, splat(two_c * 0.044715F), splat(two_c));
    const FloatVec dinner = hn::MulAdd(square, splat(3.0F * two_c * 0.044715F), splat(two_c));
    const Sigmoid s = sigmoid(hn::Mul(near, inner));
    const FloatVec ds = hn::Mul(hn::Mul(s.value, s.rest), dinner);
    return {hn::Mul(x, s.value), hn::MulAdd(near, ds, s.value)};
  }
};

// x Phi(x). Phi - 1/2 is odd: a minimax polynomial to |x| = sqrt 2; beyond, the tail is
// exp(-x^2 / 2) times one in 1 / (1 + |x| / 2). Both fits are within 6e-9, relative.
struct ErfGelu {
  HWY_INLINE ValueAndSlope operator()(FloatVec x) const {
    constexpr float center_terms[] = {0.797884559835F,    -0.132980713893F,   0.0199467489365F,
                                      -0.00237356406467F, 0.000229293855265F, -1.77001943238e-05F,
                                      8.6773725996e-07F};
    constexpr float tail_terms[] = {0.1994758596F, 0.1993077898F,  0.1519928742F, 0.03058788476F,
                                    0.0311463832F, -0.3870332646F, 0.4183071562F, -0.1453267773F};
    constexpr float inverse_sqrt_2pi = 0.398942280401432678F;
    const FloatVec half = splat(0.5F);
    const FloatVec near = clamp(x, gelu_limit);
    const FloatVec square = hn::Mul(near, near);
    // The rounding of the square would grow with it in the exponential.
    const FloatVec lost = hn::MulSub(near, near, square);
    const FloatVec gauss = exp_within_limit(hn::Mul(splat(-0.5F), square));
    const FloatVec bell = hn::NegMulAdd(hn::Mul(half, lost), gauss, gauss);
    const FloatVec center = hn::MulAdd(hn::Mul(half, near), polynomial(center_terms, square), half);
    const FloatVec t = hn::Div(splat(1.0F), hn::MulAdd(half, hn::Abs(near), splat(1.0F)));
    const FloatVec tail = hn::Mul(bell, hn::Mul(t, polynomial(tail_terms, t)));
    const FloatVec outer = hn::IfThenElse(hn::Gt(near, zero()), hn::Sub(splat(1.0F), tail), tail);
    const FloatVec phi = hn::IfThenElse(hn::Gt(square, splat(2.0F)), outer, center);
    return {hn::Mul(x, phi), hn::MulAdd(hn::Mul(near, splat(inverse_sqrt_2pi)), bell, phi)};
  }
};

template <class T>
HWY_FLATTEN void swiglu_forward_rows(const T* gate_up, T* y, std::int64_t width, std::int64_t begin,
                                     std::int64_t end) {
  for (std::int64_t t = begin; t < end; ++t) {
    const T* const gate = gate_up + 2 * t * width;
    for_vectors(0, width, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
      const FloatVec up = load_n(gate + width + i, n);
      store_n(hn::Mul(silu(load_n(gate + i, n)).value, up), y + t * width + i, n);
    });
  }
}

template <class T>
HWY_FLATTEN void swiglu_backward_rows(const T* dy, const T* gate_up, T* dgate_up,
                                      std::int64_t width, std::int64_t begin, std::int64_t end) {
  for (std::int64_t t = begin; t < end; ++t) {
    const T* const gate = gate_up + 2 * t * width;
    T* const dgate = dgate_up + 2 * t * width;
    for_vectors(0, width, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
      const FloatVec gradient = load_n(dy + t * width + i, n);
      const FloatVec up = load_n(gate + width + i, n);
      const ValueAndSlope gated = silu(load_n(gate + i, n));
      store_n(hn::Mul(hn::Mul(gradient, up), gated.slope), dgate + i, n);
      store_n(hn::Mul(gradient, gated.value), dgate + width + i, n);
    });
  }
}

template <class Function, class T>
HWY_FLATTEN void apply(const T* x, T* y, std::int64_t begin, std::int64_t end) {
  for_vectors(begin, end, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    store_n(Function()(load_n(x + i, n)).value, y + i, n);
  });
}

template <class Function, class T>
HWY_FLATTEN void apply_slope(const T* dy, const T* x, T* dx, std::int64_t begin, std::int64_t end) {
  for_vectors(begin, end, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    store_n(hn::Mul(load_n(dy + i, n), Function()(load_n(x + i, n)).slope), dx + i, n);
  });
}

}  // namespace

void swiglu_forward_tile(const Tensor& gate_up, Tensor& y, std::int64_t begin, std::int64_t end) {
  if (y.dtype() == DType::f32) {
    swiglu_forward_rows(gate_up.data<float>(), y.mutable_data<float>(), y.dim(1), begin, end);
  } else {
    swiglu_forward_rows(gate_up.data<BFloat16>(), y.mutable_data<BFloat16>(), y.dim(1), begin, end);
  }
}

void swiglu_backward_tile(const Tensor& dy, const Tensor& gate_up, Tensor& dgate_up,
                          std::int64_t begin, std::int64_t end) {
  if (dy.dtype() == DType::f32) {
    swiglu_backward_rows(dy.data<float>(), gate_up.data<float>(), dgate_up.mutable_data<float>(),
                         dy.dim(1), begin, end);
  } else {
    swiglu_backward_rows(dy.data<BFloat16>(), gate_up.data<BFloat16>(),
                         dgate_up.mutable_data<BFloat16>(), dy.dim(1), begin, end);
  }
}

void gelu_forward_tile(Gelu kind, const Tensor& x, Tensor& y, std::int64_t begin,
                       std::int64_t end) {
  const bool tanh = kind == Gelu::tanh;
  if (x.dtype() == DType::f32) {
    (tanh ? apply<TanhGelu, float> : apply<ErfGelu, float>)(x.data<float>(),
                                                            y.mutable_data<float>(), begin, end);
  } else {
    (tanh ? apply<TanhGelu, BFloat16>
          : apply<ErfGelu, BFloat16>)(x.data<BFloat16>(), y.mutable_data<BFloat16>(), begin, end);
  }
}

void gelu_backward_tile(Gelu kind, const Tensor& dy, const Tensor& x, Tensor& dx,
                        std::int64_t begin, std::int64_t end) {
  const bool tanh = kind == Gelu::tanh;
  if (x.dtype() == DType::f32) {
    (tanh ? apply_slope<TanhGelu, float>
          : apply_slope<ErfGelu, float>)(dy.data<float>(), x.data<float>(),
                                         dx.mutable_data<float>(), begin, end);
  } else {
    (tanh ? apply_slope<TanhGelu, BFloat16>
          : apply_slope<ErfGelu, BFloat16>)(dy.data<BFloat16>(), x.data<BFloat16>(),
                                            dx.mutable_data<BFloat16>(), begin, end);
  }
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

HWY_EXPORT(swiglu_forward_tile);
HWY_EXPORT(swiglu_backward_tile);
HWY_EXPORT(gelu_forward_tile);
HWY_EXPORT(gelu_backward_tile);

namespace cpu {

namespace {

// About flat_tile elements, in whole rows.
std::int64_t row_tile(std::int64_t width) {
  return std::max<std::int64_t>(1, flat_tile / std::max<std::int64_t>(1, width));
}

}  // namespace

void swiglu_forward(Stream& stream, const Tensor& gate_up, Tensor& y) {
  for_tiles(stream, y.dim(0), row_tile(y.dim(1)), [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(swiglu_forward_tile)(gate_up, y, begin, end);
  });
}

void swiglu_backward(Stream& stream, const Tensor& dy, const Tensor& gate_up, Tensor& dgate_up) {
  for_tiles(stream, dy.dim(0), row_tile(dy.dim(1)), [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(swiglu_backward_tile)(dy, gate_up, dgate_up, begin, end);
  });
}

void gelu_forward(Stream& stream, Gelu kind, const Tensor& x, Tensor& y) {
  for_tiles(stream, x.element_count(), flat_tile, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(gelu_forward_tile)(kind, x, y, begin, end);
  });
}

void gelu_backward(Stream& stream, Gelu kind, const Tensor& dy, const Tensor& x, Tensor& dx) {
  for_tiles(stream, x.element_count(), flat_tile, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(gelu_backward_tile)(kind, dy, x, dx, begin, end);
  });
}

}  // namespace cpu
}  // namespace collie::kernels
#endif
