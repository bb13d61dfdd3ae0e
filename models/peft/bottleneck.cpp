#include "models/peft/bottleneck.hpp"

#include "kernels/activation.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/matmul.hpp"

namespace collie {

Bottleneck::Bottleneck(const ShardModel& model, const std::string& half)
    : parameters_(model.parameters),
      down_(parameters_.find(half + "adapter_down")),
      down_bias_(parameters_.find(half + "adapter_down_bias")),
      up_(parameters_.find(half + "adapter_up")),
      up_bias_(parameters_.find(half + "adapter_up_bias")) {}

Tensor Bottleneck::narrow(SegmentContext& context, const Tensor& z_td) const {
  const Tensor weight = parameters_.compute(down_);
  Tensor u_tm = context.stream.allocate(z_td.dtype(), {z_td.dim(0), weight.dim(0)});
  kernels::linear_forward(context.stream, z_td, weight, parameters_.compute(down_bias_), u_tm);
  return u_tm;
}

Tensor Bottleneck::forward(SegmentContext& context, const Tensor& z_td, Saved& saved,
                           std::size_t slot) const {
  if (down_ < 0) return z_td;
  if (context.mode == Mode::train) saved.slots[slot] = z_td;
  const Tensor u_tm = narrow(context, z_td);
  Tensor act_tm = context.stream.allocate(u_tm.dtype(), u_tm.shape());
  kernels::gelu_forward(context.stream, kernels::Gelu::erf, u_tm, act_tm);
  Tensor y_td = context.stream.allocate(z_td.dtype(), z_td.shape());
  kernels::linear_forward(context.stream, act_tm, parameters_.compute(up_),
                          parameters_.compute(up_bias_), y_td);
  kernels::add(context.stream, z_td, y_td, y_td);
  return y_td;
}

Tensor Bottleneck::backward(SegmentContext& context, const Tensor& dy_td,
                            const Tensor& z_td) const {
  if (down_ < 0) return dy_td;
  Stream& stream = context.stream;
  const bool accumulate = context.accumulate_input;
  const Tensor u_tm = narrow(context, z_td);
  Tensor act_tm = stream.allocate(u_tm.dtype(), u_tm.shape());
  kernels::gelu_forward(stream, kernels::Gelu::erf, u_tm, act_tm);
  Tensor dup = parameters_.gradient(up_), dup_bias = parameters_.gradient(up_bias_);
  kernels::linear_backward_weight(stream, dy_td, act_tm, dup, dup_bias, accumulate);

  Tensor du_tm = stream.allocate(u_tm.dtype(), u_tm.shape());
  kernels::linear_backward_input(stream, dy_td, parameters_.compute(up_), act_tm);
  kernels::gelu_backward(stream, kernels::Gelu::erf, act_tm, u_tm, du_tm);
  Tensor ddown = parameters_.gradient(down_), ddown_bias = parameters_.gradient(down_bias_);
  kernels::linear_backward_weight(stream, du_tm, z_td, ddown, ddown_bias, accumulate);

  Tensor dz_td = stream.allocate(dy_td.dtype(), dy_td.shape());
  kernels::linear_backward_input(stream, du_tm, parameters_.compute(down_), dz_td);
  kernels::add(stream, dy_td, dz_td, dz_td);
  return dz_td;
}

}  // namespace collie
