#include "kernels/flat_update_impl.hpp"
#include "kernels/lion_impl.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/lion_cpu.cpp"
#include "kernels/flat_stores.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {

namespace {

template <class State>
void lion_elements(const cpu::LionFactors& factors, const cpu::FlatPointers& to, std::int64_t begin,
                   std::int64_t end) {
  State* momentum = to.state<State>(0);
  for_vectors(begin, end, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    const FloatVec g = hn::Mul(load_n(to.grad + i, n), splat(factors.gradient));
    const FloatVec m = load_n(momentum + i, n);
    const FloatVec u = hn::MulAdd(splat(factors.keep1), m, hn::Mul(splat(factors.take1), g));
    const FloatVec move =
        hn::IfThenZeroElse(hn::Eq(u, zero()), hn::CopySign(splat(factors.rate), u));
    const FloatVec old = load_n(to.param + i, n);
    const FloatVec param = hn::Sub(hn::NegMulAdd(splat(factors.decay), old, old), move);
    const FloatVec new_m = hn::MulAdd(splat(factors.keep2), m, hn::Mul(splat(factors.take2), g));
    store_n(new_m, momentum + i, n);
    store_n(param, to.param + i, n);
    if (to.copy != nullptr) store_copy(param, to.copy, to.copy_past_caches, i, n);
  });
}

}  // namespace

void lion_range(const cpu::LionFactors& factors, const cpu::FlatPointers& to, std::int64_t begin,
                std::int64_t end) {
  to.narrow_states ? lion_elements<BFloat16>(factors, to, begin, end)
                   : lion_elements<float>(factors, to, begin, end);
  finish_copy(to.copy_past_caches);
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

HWY_EXPORT(lion_range);

namespace cpu {

void lion_step(Stream& stream, const LionFactors& factors, Tensor& param, const Tensor& grad,
               Tensor& m, Tensor& compute_copy) {
  const FlatPointers to = flat_pointers(param, grad, compute_copy, {&m});
  for_flat_tiles(stream, param.element_count(), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(lion_range)(factors, to, begin, end);
  });
}

}  // namespace cpu
}  // namespace collie::kernels
#endif
