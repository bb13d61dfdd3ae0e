#include "kernels/flat_update_impl.hpp"
#include "kernels/sgd_impl.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/sgd_cpu.cpp"
#include "kernels/flat_stores.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {

namespace {

template <class State>
void sgd_elements(const cpu::SgdFactors& factors, const cpu::FlatPointers& to, std::int64_t begin,
                  std::int64_t end) {
  State* velocity = to.state<State>(0);
  const FloatVec clip = splat(factors.clip);
  for_vectors(begin, end, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    const FloatVec param = load_n(to.param + i, n);
    FloatVec g = load_n(to.grad + i, n);
    if (factors.clips) g = hn::Max(hn::Min(g, clip), hn::Neg(clip));
    g = hn::MulAdd(splat(factors.decay), param, hn::Mul(splat(factors.gradient), g));
    FloatVec way = g;
    if (velocity != nullptr) {
      way = hn::MulAdd(splat(factors.momentum), load_n(velocity + i, n),
                       hn::Mul(splat(factors.take), g));
      store_n(way, velocity + i, n);
      if (factors.nesterov) way = hn::MulAdd(splat(factors.momentum), way, g);
    }
    const FloatVec new_param = hn::NegMulAdd(splat(factors.rate), way,
                                             hn::NegMulAdd(splat(factors.shrunk_by), param, param));
    store_n(new_param, to.param + i, n);
    if (to.copy != nullptr) store_copy(new_param, to.copy, to.copy_past_caches, i, n);
  });
}

}  // namespace

void sgd_range(const cpu::SgdFactors& factors, const cpu::FlatPointers& to, std::int64_t begin,
               std::int64_t end) {
  to.narrow_states ? sgd_elements<BFloat16>(factors, to, begin, end)
                   : sgd_elements<float>(factors, to, begin, end);
  finish_copy(to.copy_past_caches);
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

HWY_EXPORT(sgd_range);

namespace cpu {

void sgd_step(Stream& stream, const SgdFactors& factors, Tensor& param, const Tensor& grad,
              Tensor& velocity, Tensor& compute_copy) {
  const FlatPointers to = velocity ? flat_pointers(param, grad, compute_copy, {&velocity})
                                   : flat_pointers(param, grad, compute_copy, {});
  for_flat_tiles(stream, param.element_count(), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(sgd_range)(factors, to, begin, end);
  });
}

}  // namespace cpu
}  // namespace collie::kernels
#endif
