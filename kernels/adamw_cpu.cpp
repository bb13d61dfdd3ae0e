#include <cmath>

#include "kernels/adamw_impl.hpp"
#include "kernels/dispatch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/adamw_cpu.cpp"
#include "kernels/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {

void adamw_range(const cpu::AdamWFactors& factors, float* param, const float* grad, float* m,
                 float* v, BFloat16* compute_copy, std::int64_t begin, std::int64_t end) {
  for_vectors(begin, end, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    const FloatVec g = hn::Mul(load_n(grad + i, n), splat(factors.gradient));
    const FloatVec new_m =
        hn::MulAdd(splat(factors.keep_m), load_n(m + i, n), hn::Mul(splat(factors.take_m), g));
    const FloatVec new_v = hn::MulAdd(splat(factors.keep_v), load_n(v + i, n),
                                      hn::Mul(hn::Mul(splat(factors.take_v), g), g));
    const FloatVec denominator =
        hn::MulAdd(hn::Sqrt(new_v), splat(factors.inverse_root), splat(factors.epsilon));
    const FloatVec decayed = hn::Mul(load_n(param + i, n), splat(factors.decay));
    const FloatVec new_param =
        hn::NegMulAdd(splat(factors.rate), hn::Div(new_m, denominator), decayed);
    store_n(new_m, m + i, n);
    store_n(new_v, v + i, n);
    store_n(new_param, param + i, n);
    if (compute_copy != nullptr) store_n(new_param, compute_copy + i, n);
  });
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

HWY_EXPORT(adamw_range);

namespace cpu {

void adamw_step(Stream& stream, const AdamWFactors& factors, Tensor& param, const Tensor& grad,
                Tensor& m, Tensor& v, Tensor& compute_copy) {
  float* param_data = param.mutable_data<float>();
  const float* grad_data = grad.data<float>();
  float* m_data = m.mutable_data<float>();
  float* v_data = v.mutable_data<float>();
  BFloat16* copy_data = compute_copy ? compute_copy.mutable_data<BFloat16>() : nullptr;
  for_tiles(stream, param.element_count(), 4 * flat_tile,
            [&](std::int64_t begin, std::int64_t end, int) {
              HWY_DYNAMIC_DISPATCH(adamw_range)
              (factors, param_data, grad_data, m_data, v_data, copy_data, begin, end);
            });
}

// Plain, so that nothing is fused: compiled once, for the least machine.
void adamw_direction(Stream& stream, const AdamWDirection& factors, const Tensor& param,
                     const Tensor& m, const Tensor& v, Tensor& out) {
  const float* param_data = param.data<float>();
  const float* m_data = m.data<float>();
  const float* v_data = v.data<float>();
  float* out_data = out.mutable_data<float>();
  for_tiles(stream, param.element_count(), 4 * flat_tile,
            [&](std::int64_t begin, std::int64_t end, int) {
              for (std::int64_t i = begin; i < end; ++i) {
                const float root = std::sqrt(v_data[i]) * factors.inverse_root + factors.epsilon;
                out_data[i] = m_data[i] * factors.inverse1 / root + factors.decay * param_data[i];
              }
            });
}

}  // namespace cpu
}  // namespace collie::kernels
#endif
