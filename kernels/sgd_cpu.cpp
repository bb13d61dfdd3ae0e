#include "kernels/dispatch.hpp"
#include "kernels/sgd_impl.hpp"

namespace collie::kernels::cpu {

// A plain loop: memory sets its speed.
void sgd_step(Stream& stream, const SgdFactors& factors, Tensor& param, const Tensor& grad,
              Tensor& velocity, Tensor& compute_copy) {
  float* param_data = param.mutable_data<float>();
  const float* grad_data = grad.data<float>();
  float* velocity_data = velocity.mutable_data<float>();
  BFloat16* copy_data = compute_copy ? compute_copy.mutable_data<BFloat16>() : nullptr;
  for_tiles(stream, param.element_count(), 4 * flat_tile,
            [&](std::int64_t begin, std::int64_t end, int) {
              for (std::int64_t i = begin; i < end; ++i) {
                const float g = factors.gradient * grad_data[i] + factors.decay * param_data[i];
                velocity_data[i] = factors.momentum * velocity_data[i] + g;
                param_data[i] -= factors.rate * velocity_data[i];
              }
              if (copy_data == nullptr) return;
              for (std::int64_t i = begin; i < end; ++i) copy_data[i] = BFloat16(param_data[i]);
            });
}

}  // namespace collie::kernels::cpu
