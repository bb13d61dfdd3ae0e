#include "kernels/sgd.hpp"

#include "kernels/dispatch.hpp"
#include "kernels/sgd_impl.hpp"

namespace collie::kernels {

void sgd_step(Stream& stream, const SgdStep& step, Tensor& param, const Tensor& grad,
              Tensor& velocity, Tensor& compute_copy) {
  require_dtype(param, DType::f32, "param");
  require_same(param, grad, "param and grad");
  require_same(param, velocity, "param and velocity");
  if (compute_copy) {
    require_dtype(compute_copy, DType::bf16, "compute_copy");
    require_shape(compute_copy, param.shape(), "compute_copy");
  }
  const cpu::SgdFactors factors{
      static_cast<float>(step.learning_rate), static_cast<float>(step.momentum),
      static_cast<float>(step.weight_decay), static_cast<float>(step.gradient_scale)};
  by_device(stream, [&] { cpu::sgd_step(stream, factors, param, grad, velocity, compute_copy); });
}

}  // namespace collie::kernels
