#include "kernels/lion.hpp"

#include "kernels/flat_update.hpp"
#include "kernels/lion_impl.hpp"

namespace collie::kernels {

void lion_step(Stream& stream, const LionStep& step, Tensor& param, const Tensor& grad, Tensor& m,
               Tensor& compute_copy) {
  require_flat_update(param, grad, {&m}, compute_copy);
  const cpu::LionFactors factors{
      .gradient = static_cast<float>(step.gradient_scale),
      .keep1 = static_cast<float>(step.beta1),
      .take1 = static_cast<float>(1.0 - step.beta1),
      .keep2 = static_cast<float>(step.beta2),
      .take2 = static_cast<float>(1.0 - step.beta2),
      .rate = static_cast<float>(step.learning_rate),
      .decay = static_cast<float>(step.learning_rate * step.weight_decay)};
  by_device(stream, [&] { cpu::lion_step(stream, factors, param, grad, m, compute_copy); });
}

}  // namespace collie::kernels
