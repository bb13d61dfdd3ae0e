#include "kernels/blend.hpp"
#include "kernels/elementwise.hpp"
#include "models/delay_corrections/rules.hpp"

namespace collie {

void update_alone(Stream& stream, Optimizer& optimizer, const OptimizerStep& step,
                  Parameters& parameters) {
  Steps steps = optimizer.step(stream, step, parameters);
  run_alone(steps);
}

Shape shape_of_computes(const Parameters& parameters) {
  return {parameters.frozen_shares().back().end};
}

void carry_weights(Stream& stream, Parameters& parameters, double factor, const Tensor& direction,
                   Tensor& out) {
  const auto by = static_cast<float>(factor);
  const std::int64_t trained = parameters.trainable_elements(), all = out.element_count();
  Tensor frozen = out.rows(trained, all);
  kernels::cast(stream, parameters.computes().rows(trained, all), frozen);
  const Tensor values = parameters.values().rows(0, trained);
  Tensor moving = out.rows(0, trained);
  if (out.dtype() == DType::f32) {
    kernels::blend(stream, 1.0F, values, by, direction.rows(0, trained), moving);
    return;
  }
  Tensor carried = stream.allocate(DType::f32, moving.shape());
  kernels::blend(stream, 1.0F, values, by, direction.rows(0, trained), carried);
  kernels::cast(stream, carried, moving);
}

}  // namespace collie
