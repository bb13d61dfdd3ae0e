#include "kernels/adan.hpp"

#include <cmath>

#include "kernels/adan_impl.hpp"
#include "kernels/flat_update.hpp"

namespace collie::kernels {

namespace {

cpu::AdanFactors factors_of(const AdanStep& step) {
  const auto count = static_cast<double>(step.step);
  const double decay = step.learning_rate * step.weight_decay;
  const double rate_m = step.learning_rate / (1.0 - std::pow(step.beta1, count));
  const double rate_v = step.learning_rate * step.beta2 / (1.0 - std::pow(step.beta2, count));
  const double root = std::sqrt(1.0 - std::pow(step.beta3, count));
  return {.gradient = static_cast<float>(step.gradient_scale),
          .keep1 = static_cast<float>(step.beta1),
          .take1 = static_cast<float>(1.0 - step.beta1),
          .keep2 = static_cast<float>(step.beta2),
          .take2 = static_cast<float>(1.0 - step.beta2),
          .keep3 = static_cast<float>(step.beta3),
          .take3 = static_cast<float>(1.0 - step.beta3),
          .inverse_root = static_cast<float>(1.0 / root),
          .epsilon = static_cast<float>(step.epsilon),
          .rate_m = static_cast<float>(rate_m),
          .rate_v = static_cast<float>(rate_v),
          .decay_before = step.is_proximal ? 0.0F : static_cast<float>(decay),
          .decay_after = step.is_proximal ? static_cast<float>(decay / (1.0 + decay)) : 0.0F,
          .is_first = step.step == 1};
}

}  // namespace

void adan_step(Stream& stream, const AdanStep& step, Tensor& param, const Tensor& grad,
               std::span<Tensor> states, Tensor& compute_copy) {
  COLLIE_CHECK(step.step >= 1 && states.size() == 4);
  require_flat_update(param, grad, {&states[0], &states[1], &states[2], &states[3]}, compute_copy);
  by_device(stream,
            [&] { cpu::adan_step(stream, factors_of(step), param, grad, states, compute_copy); });
}

}  // namespace collie::kernels
