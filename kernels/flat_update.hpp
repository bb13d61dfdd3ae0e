// What the checks of all updates of flat ranges share.
#pragma once

#include <initializer_list>

#include "kernels/dispatch.hpp"

namespace collie::kernels {

// param and grad are f32 of one shape; states have that shape and are all f32 or all bf16;
// compute_copy is undefined or bf16 of that shape.
void require_flat_update(const Tensor& param, const Tensor& grad,
                         std::initializer_list<const Tensor*> states, const Tensor& compute_copy);

}  // namespace collie::kernels
