// The operands of one update of a flat range, as pointers.
#pragma once

#include "kernels/dispatch.hpp"

namespace collie::kernels::cpu {

// Whether a bf16 copy of `count` values is stored past the caches, since it would not stay in them;
// its vectors are then aligned if they begin at multiples of 32 elements.
inline bool stores_past_caches(const BFloat16* copy, std::int64_t count) {
  constexpr std::int64_t count_min = std::int64_t{4} << 20;
  return count >= count_min && reinterpret_cast<std::uintptr_t>(copy) % 64 == 0;
}

// States are all float or all BFloat16.
struct FlatPointers {
  float* param = nullptr;
  const float* grad = nullptr;
  BFloat16* copy = nullptr;  // may be null
  bool copy_past_caches = false;
  std::byte* states[4] = {};
  bool narrow_states = false;

  template <class State>
  State* state(int index) const {
    return reinterpret_cast<State*>(states[index]);
  }
};

inline FlatPointers flat_pointers(Tensor& param, const Tensor& grad, Tensor& compute_copy,
                                  std::initializer_list<Tensor*> states) {
  FlatPointers pointers;
  pointers.param = param.mutable_data<float>();
  pointers.grad = grad.data<float>();
  if (compute_copy) {
    pointers.copy = compute_copy.mutable_data<BFloat16>();
    pointers.copy_past_caches = stores_past_caches(pointers.copy, param.element_count());
  }
  int index = 0;
  for (Tensor* state : states) {
    pointers.narrow_states = state->dtype() == DType::bf16;
    pointers.states[index++] = state->mutable_raw();
  }
  return pointers;
}

// range(begin, end) over tiles of a flat pass whose speed memory sets.
template <class Range>
void for_flat_tiles(Stream& stream, std::int64_t count, const Range& range) {
  for_tiles(stream, count, 4 * flat_tile,
            [&](std::int64_t begin, std::int64_t end, int) { range(begin, end); });
}

}  // namespace collie::kernels::cpu
