#include "kernels/flat_update.hpp"

namespace collie::kernels {

void require_flat_update(const Tensor& param, const Tensor& grad,
                         std::initializer_list<const Tensor*> states, const Tensor& compute_copy) {
  require_dtype(param, DType::f32, "param");
  require_same(param, grad, "param and grad");
  for (const Tensor* state : states) {
    require_compute(*state, "state");
    require_shape(*state, param.shape(), "state");
    COLLIE_CHECK(state->dtype() == (*states.begin())->dtype(), "states of two types");
  }
  if (!compute_copy) return;
  require_dtype(compute_copy, DType::bf16, "compute_copy");
  require_shape(compute_copy, param.shape(), "compute_copy");
}

}  // namespace collie::kernels
