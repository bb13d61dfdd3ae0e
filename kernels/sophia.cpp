#include "kernels/sophia.hpp"

#include "kernels/flat_update.hpp"
#include "kernels/sophia_impl.hpp"

namespace collie::kernels {

void sophia_step(Stream& stream, const SophiaStep& step, Tensor& param, const Tensor& grad,
                 Tensor& m, Tensor& hessian, Tensor& compute_copy) {
  require_flat_update(param, grad, {&m, &hessian}, compute_copy);
  const cpu::SophiaFactors factors{
      .gradient = static_cast<float>(step.gradient_scale),
      .keep = static_cast<float>(step.beta1),
      .take = static_cast<float>(1.0 - step.beta1),
      .rho = static_cast<float>(step.rho),
      .rate = static_cast<float>(step.learning_rate),
      .decay = static_cast<float>(step.learning_rate * step.weight_decay)};
  by_device(stream,
            [&] { cpu::sophia_step(stream, factors, param, grad, m, hessian, compute_copy); });
}

void sophia_hessian(Stream& stream, double beta2, double count, const Tensor& grad,
                    Tensor& hessian) {
  require_flat_update(grad, grad, {&hessian}, Tensor());
  by_device(stream, [&] {
    cpu::sophia_hessian(stream, static_cast<float>(beta2),
                        static_cast<float>((1.0 - beta2) * count), grad, hessian);
  });
}

}  // namespace collie::kernels
