#include "kernels/sgd.hpp"

#include "kernels/flat_update.hpp"
#include "kernels/sgd_impl.hpp"

namespace collie::kernels {

void sgd_step(Stream& stream, const SgdStep& step, Tensor& param, const Tensor& grad,
              Tensor& velocity, Tensor& compute_copy) {
  if (velocity) {
    require_flat_update(param, grad, {&velocity}, compute_copy);
  } else {
    require_flat_update(param, grad, {}, compute_copy);
  }
  const cpu::SgdFactors factors{.rate = static_cast<float>(step.learning_rate),
                                .momentum = static_cast<float>(step.momentum),
                                .take = static_cast<float>(1.0 - step.dampening),
                                .decay = static_cast<float>(step.weight_decay),
                                .gradient = static_cast<float>(step.gradient_scale),
                                .clip = static_cast<float>(step.clip_value),
                                .shrunk_by = static_cast<float>(1.0 - step.shrink),
                                .nesterov = step.nesterov,
                                .clips = step.clip_value > 0.0};
  by_device(stream, [&] { cpu::sgd_step(stream, factors, param, grad, velocity, compute_copy); });
}

}  // namespace collie::kernels
