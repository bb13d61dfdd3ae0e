#include "kernels/adan_impl.hpp"
#include "kernels/flat_update_impl.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/adan_cpu.cpp"
#include "kernels/flat_stores.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {

namespace {

template <class State>
HWY_INLINE FloatVec moved_moment(State* moment, std::int64_t n, float keep, float take,
                                 FloatVec by) {
  const FloatVec moved = hn::MulAdd(splat(keep), load_n(moment, n), hn::Mul(splat(take), by));
  store_n(moved, moment, n);
  return moved;
}

template <class State>
void adan_elements(const cpu::AdanFactors& f, const cpu::FlatPointers& to, std::int64_t begin,
                   std::int64_t end) {
  State* m = to.state<State>(0);
  State* v = to.state<State>(1);
  State* n_sq = to.state<State>(2);
  State* previous = to.state<State>(3);
  for_vectors(begin, end, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    const FloatVec g = hn::Mul(load_n(to.grad + i, n), splat(f.gradient));
    const FloatVec change = f.is_first ? zero() : hn::Sub(g, load_n(previous + i, n));
    const FloatVec ahead = hn::MulAdd(splat(f.keep2), change, g);
    const FloatVec new_m = moved_moment(m + i, n, f.keep1, f.take1, g);
    const FloatVec new_v = moved_moment(v + i, n, f.keep2, f.take2, change);
    const FloatVec squares = moved_moment(n_sq + i, n, f.keep3, f.take3, hn::Mul(ahead, ahead));
    store_n(g, previous + i, n);
    const FloatVec denominator =
        hn::MulAdd(hn::Sqrt(squares), splat(f.inverse_root), splat(f.epsilon));
    const FloatVec way = hn::MulAdd(splat(f.rate_m), new_m, hn::Mul(splat(f.rate_v), new_v));
    const FloatVec old = load_n(to.param + i, n);
    const FloatVec shrunk = hn::NegMulAdd(splat(f.decay_before), old, old);
    const FloatVec moved = hn::Sub(shrunk, hn::Div(way, denominator));
    const FloatVec param = hn::NegMulAdd(splat(f.decay_after), moved, moved);
    store_n(param, to.param + i, n);
    if (to.copy != nullptr) store_copy(param, to.copy, to.copy_past_caches, i, n);
  });
}

}  // namespace

void adan_range(const cpu::AdanFactors& factors, const cpu::FlatPointers& to, std::int64_t begin,
                std::int64_t end) {
  to.narrow_states ? adan_elements<BFloat16>(factors, to, begin, end)
                   : adan_elements<float>(factors, to, begin, end);
  finish_copy(to.copy_past_caches);
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

HWY_EXPORT(adan_range);

namespace cpu {

void adan_step(Stream& stream, const AdanFactors& factors, Tensor& param, const Tensor& grad,
               std::span<Tensor> states, Tensor& compute_copy) {
  const FlatPointers to =
      flat_pointers(param, grad, compute_copy, {&states[0], &states[1], &states[2], &states[3]});
  for_flat_tiles(stream, param.element_count(), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(adan_range)(factors, to, begin, end);
  });
}

}  // namespace cpu
}  // namespace collie::kernels
#endif
