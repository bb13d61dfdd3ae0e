#include <cstring>

#include "kernels/flat_update_impl.hpp"
#include "kernels/muon_impl.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/muon_cpu.cpp"
#include "kernels/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {

namespace {

template <class State>
void momentum_elements(const cpu::MuonFactors& factors, const cpu::FlatPointers& to,
                       std::int64_t begin, std::int64_t end) {
  State* velocity = to.state<State>(0);
  for_vectors(begin, end, [&](std::int64_t i, std::int64_t n) HWY_ATTR {
    const FloatVec g = hn::Mul(load_n(to.grad + i, n), splat(factors.gradient));
    const FloatVec taken = hn::Mul(splat(factors.take), g);
    FloatVec update = hn::MulAdd(splat(factors.keep), load_n(velocity + i, n), taken);
    store_n(update, velocity + i, n);
    if (factors.nesterov) update = hn::MulAdd(splat(factors.keep), update, taken);
    store_n(update, to.param + i, n);
  });
}

}  // namespace

void momentum_range(const cpu::MuonFactors& factors, const cpu::FlatPointers& to,
                    std::int64_t begin, std::int64_t end) {
  to.narrow_states ? momentum_elements<BFloat16>(factors, to, begin, end)
                   : momentum_elements<float>(factors, to, begin, end);
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

HWY_EXPORT(momentum_range);

namespace cpu {

void muon_momentum(Stream& stream, const MuonFactors& factors, const Tensor& grad, Tensor& velocity,
                   Tensor& update) {
  Tensor none;
  const FlatPointers to = flat_pointers(update, grad, none, {&velocity});
  for_flat_tiles(stream, grad.element_count(), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(momentum_range)(factors, to, begin, end);
  });
}

void copy_block(Stream& stream, const BlockCopy& block, const Tensor& from_rc, Tensor& to_rc) {
  const float* from = from_rc.data<float>();
  float* to = to_rc.mutable_data<float>();
  const std::int64_t from_cols = from_rc.dim(1), to_cols = to_rc.dim(1);
  const std::int64_t cols = std::max<std::int64_t>(1, block.cols);
  for_tiles(stream, block.rows, std::max<std::int64_t>(1, flat_tile / cols),
            [&](std::int64_t begin, std::int64_t end, int) {
              for (std::int64_t row = begin; row < end; ++row) {
                std::memcpy(to + (block.to_row + row) * to_cols + block.to_col,
                            from + (block.from_row + row) * from_cols + block.from_col,
                            static_cast<std::size_t>(block.cols) * sizeof(float));
              }
            });
}

}  // namespace cpu
}  // namespace collie::kernels
#endif
