#include "kernels/adamw.hpp"

#include <cmath>

#include "kernels/adamw_impl.hpp"
#include "kernels/flat_update.hpp"

namespace collie::kernels {

namespace {

cpu::AdamWFactors factors_of(const AdamWStep& step) {
  const auto count = static_cast<double>(step.step);
  const double correction1 = 1.0 - std::pow(step.beta1, count);
  const double correction2 = 1.0 - std::pow(step.beta2, count);
  return {.gradient = static_cast<float>(step.gradient_scale),
          .decay = static_cast<float>(step.learning_rate * step.weight_decay),
          .keep_m = static_cast<float>(step.beta1),
          .take_m = static_cast<float>(1.0 - step.beta1),
          .keep_v = static_cast<float>(step.beta2),
          .take_v = static_cast<float>(1.0 - step.beta2),
          .inverse_root = static_cast<float>(1.0 / std::sqrt(correction2)),
          .epsilon = static_cast<float>(step.epsilon),
          .rate = static_cast<float>(step.learning_rate / correction1)};
}

}  // namespace

void adamw_step(Stream& stream, const AdamWStep& step, Tensor& param, const Tensor& grad, Tensor& m,
                Tensor& v, Tensor& compute_copy) {
  COLLIE_CHECK(step.step >= 1, "AdamW step {} (the first is 1)", step.step);
  require_flat_update(param, grad, {&m, &v}, compute_copy);
  by_device(stream,
            [&] { cpu::adamw_step(stream, factors_of(step), param, grad, m, v, compute_copy); });
}

void adamw_direction(Stream& stream, const AdamWStep& step, const Tensor& param, const Tensor& m,
                     const Tensor& v, Tensor& out) {
  COLLIE_CHECK(step.step >= 1, "AdamW has no direction before its first step");
  require_flat_update(param, out, {&m, &v}, Tensor());
  const auto count = static_cast<double>(step.step);
  const cpu::AdamWDirection factors{
      static_cast<float>(1.0 / (1.0 - std::pow(step.beta1, count))),
      static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(step.beta2, count))),
      static_cast<float>(step.epsilon), static_cast<float>(step.weight_decay)};
  by_device(stream, [&] { cpu::adamw_direction(stream, factors, param, m, v, out); });
}

}  // namespace collie::kernels
