// The operands of one update of a flat range, as pointers.
#pragma once

#include "kernels/dispatch.hpp"

namespace collie::kernels::cpu {

// States are all float or all BFloat16.
struct FlatPointers {
  float* param = nullptr;
  const float* grad = nullptr;
  BFloat16* copy = nullptr;  // may be null
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
  if (compute_copy) pointers.copy = compute_copy.mutable_data<BFloat16>();
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
