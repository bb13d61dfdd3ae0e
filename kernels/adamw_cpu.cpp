#include <cmath>

#include "kernels/adamw_impl.hpp"
#include "kernels/flat_update_impl.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/adamw_cpu.cpp"
#include "kernels/flat_stores.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {

namespace {

template <class State>
void adamw_elements(const cpu::AdamWFactors& factors, const cpu::FlatPointers& to,
                    std::int64_t begin, std::int64_t end) {
  State* m = to.state<State>(0);
  State* v = to.state<State>(1);
  for_vectors(begin, end, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    const FloatVec g = hn::Mul(load_n(to.grad + i, n), splat(factors.gradient));
    const FloatVec new_m =
        hn::MulAdd(splat(factors.keep_m), load_n(m + i, n), hn::Mul(splat(factors.take_m), g));
    const FloatVec new_v = hn::MulAdd(splat(factors.keep_v), load_n(v + i, n),
                                      hn::Mul(hn::Mul(splat(factors.take_v), g), g));
    const FloatVec denominator =
        hn::MulAdd(hn::Sqrt(new_v), splat(factors.inverse_root), splat(factors.epsilon));
    const FloatVec param = load_n(to.param + i, n);
    const FloatVec decayed = hn::NegMulAdd(splat(factors.decay), param, param);
    const FloatVec new_param =
        hn::NegMulAdd(splat(factors.rate), hn::Div(new_m, denominator), decayed);
    store_n(new_m, m + i, n);
    store_n(new_v, v + i, n);
    store_n(new_param, to.param + i, n);
    if (to.copy != nullptr) store_copy(new_param, to.copy, to.copy_past_caches, i, n);
  });
}

}  // namespace

void adamw_range(const cpu::AdamWFactors& factors, const cpu::FlatPointers& to, std::int64_t begin,
                 std::int64_t end) {
  to.narrow_states ? adamw_elements<BFloat16>(factors, to, begin, end)
                   : adamw_elements<float>(factors, to, begin, end);
  finish_copy(to.copy_past_caches);
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

HWY_EXPORT(adamw_range);

namespace cpu {

void adamw_step(Stream& stream, const AdamWFactors& factors, Tensor& param, const Tensor& grad,
                Tensor& m, Tensor& v, Tensor& compute_copy) {
  const FlatPointers to = flat_pointers(param, grad, compute_copy, {&m, &v});
  for_flat_tiles(stream, param.element_count(), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(adamw_range)(factors, to, begin, end);
  });
}

namespace {

// Plain, so that nothing is fused: compiled once, for the least machine.
template <class State>
void direction_of(Stream& stream, const AdamWDirection& factors, const Tensor& param,
                  const Tensor& m, const Tensor& v, Tensor& out) {
  const float* param_data = param.data<float>();
  const State* m_data = m.data<State>();
  const State* v_data = v.data<State>();
  float* out_data = out.mutable_data<float>();
  for_flat_tiles(stream, param.element_count(), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const float root =
          std::sqrt(static_cast<float>(v_data[i])) * factors.inverse_root + factors.epsilon;
      const auto moment = static_cast<float>(m_data[i]);
      out_data[i] = moment * factors.inverse1 / root + factors.decay * param_data[i];
    }
  });
}

}  // namespace

void adamw_direction(Stream& stream, const AdamWDirection& factors, const Tensor& param,
                     const Tensor& m, const Tensor& v, Tensor& out) {
  m.dtype() == DType::bf16 ? direction_of<BFloat16>(stream, factors, param, m, v, out)
                           : direction_of<float>(stream, factors, param, m, v, out);
}

}  // namespace cpu
}  // namespace collie::kernels
#endif
