#include "kernels/flat_update_impl.hpp"
#include "kernels/sophia_impl.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/sophia_cpu.cpp"
#include "kernels/flat_stores.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {

namespace {

template <class State>
void sophia_elements(const cpu::SophiaFactors& factors, const cpu::FlatPointers& to,
                     std::int64_t begin, std::int64_t end) {
  State* momentum = to.state<State>(0);
  const State* hessian = to.state<State>(1);
  for_vectors(begin, end, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    const FloatVec g = hn::Mul(load_n(to.grad + i, n), splat(factors.gradient));
    const FloatVec m =
        hn::MulAdd(splat(factors.keep), load_n(momentum + i, n), hn::Mul(splat(factors.take), g));
    const FloatVec curvature =
        hn::MulAdd(splat(factors.rho), load_n(hessian + i, n), splat(1e-15F));
    const FloatVec ratio = hn::Min(hn::Div(hn::Abs(m), curvature), splat(1.0F));
    const FloatVec old = load_n(to.param + i, n);
    const FloatVec shrunk = hn::NegMulAdd(splat(factors.decay), old, old);
    const FloatVec param = hn::NegMulAdd(splat(factors.rate), hn::CopySign(ratio, m), shrunk);
    store_n(m, momentum + i, n);
    store_n(param, to.param + i, n);
    if (to.copy != nullptr) store_copy(param, to.copy, to.copy_past_caches, i, n);
  });
}

template <class State>
void hessian_elements(float keep, float take, const float* grad, State* hessian, std::int64_t begin,
                      std::int64_t end) {
  for_vectors(begin, end, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    const FloatVec g = load_n(grad + i, n);
    const FloatVec taken = hn::Mul(hn::Mul(splat(take), g), g);
    store_n(hn::MulAdd(splat(keep), load_n(hessian + i, n), taken), hessian + i, n);
  });
}

}  // namespace

void sophia_range(const cpu::SophiaFactors& factors, const cpu::FlatPointers& to,
                  std::int64_t begin, std::int64_t end) {
  to.narrow_states ? sophia_elements<BFloat16>(factors, to, begin, end)
                   : sophia_elements<float>(factors, to, begin, end);
  finish_copy(to.copy_past_caches);
}

void hessian_range(float keep, float take, const float* grad, Tensor& hessian, std::int64_t begin,
                   std::int64_t end) {
  hessian.dtype() == DType::bf16
      ? hessian_elements(keep, take, grad, hessian.mutable_data<BFloat16>(), begin, end)
      : hessian_elements(keep, take, grad, hessian.mutable_data<float>(), begin, end);
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

HWY_EXPORT(sophia_range);
HWY_EXPORT(hessian_range);

namespace cpu {

void sophia_step(Stream& stream, const SophiaFactors& factors, Tensor& param, const Tensor& grad,
                 Tensor& m, Tensor& hessian, Tensor& compute_copy) {
  const FlatPointers to = flat_pointers(param, grad, compute_copy, {&m, &hessian});
  for_flat_tiles(stream, param.element_count(), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(sophia_range)(factors, to, begin, end);
  });
}

void sophia_hessian(Stream& stream, float keep, float take, const Tensor& grad, Tensor& hessian) {
  const float* grad_data = grad.data<float>();
  for_flat_tiles(stream, grad.element_count(), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(hessian_range)(keep, take, grad_data, hessian, begin, end);
  });
}

}  // namespace cpu
}  // namespace collie::kernels
#endif
