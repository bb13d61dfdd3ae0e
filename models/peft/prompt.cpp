#include "models/peft/prompt.hpp"

#include "kernels/elementwise.hpp"
#include "kernels/embedding.hpp"
#include "kernels/matmul.hpp"
#include "kernels/virtual_tokens.hpp"

namespace collie {

Prompt::Prompt(Parameters& parameters)
    : parameters_(parameters), table_(parameters_.find("prompt")) {
  for (std::size_t layer = 0; layer < net_.size(); ++layer) {
    const std::string name = fmt::format("prompt_net.{}", 2 * layer);
    net_[layer] = {parameters_.find(name), parameters_.find(name + "_bias")};
  }
}

std::array<Tensor, 4> Prompt::run_net(Stream& stream) const {
  std::array<Tensor, 4> values;
  values[0] = parameters_.compute(table_);
  for (std::size_t layer = 0; layer < net_.size(); ++layer) {
    const Tensor weight = parameters_.compute(net_[layer].weight);
    Tensor& out = values[layer + 1];
    out = stream.allocate(weight.dtype(), {values[layer].dim(0), weight.dim(0)});
    kernels::linear_forward(stream, values[layer], weight, parameters_.compute(net_[layer].bias),
                            out);
    if (layer + 1 < net_.size()) kernels::relu(stream, out);
  }
  return values;
}

Tensor Prompt::embeddings(Stream& stream) const {
  return has_net() ? run_net(stream).back() : parameters_.compute(table_);
}

void Prompt::add_forward(SegmentContext& context, Tensor& out_td) const {
  kernels::embedding_forward(context.stream, context.batch.positions_t, embeddings(context.stream),
                             0, out_td, true);
}

void Prompt::backward_weight(SegmentContext& context, const Tensor& dout_td) const {
  Stream& stream = context.stream;
  Tensor dtable = parameters_.gradient(table_);
  Tensor dprompt_nd = has_net() ? stream.allocate(DType::f32, dtable.shape()) : dtable;
  if (has_net() || !context.accumulate_weight) kernels::fill_zero(stream, dprompt_nd);
  kernels::embedding_backward(stream, context.batch.positions_t, dout_td, 0, dprompt_nd);
  if (has_net()) net_backward(context, dprompt_nd);
}

void Prompt::net_backward(SegmentContext& context, const Tensor& dprompt_nd) const {
  Stream& stream = context.stream;
  const std::array<Tensor, 4> values = run_net(stream);
  Tensor dy = stream.allocate(values[0].dtype(), dprompt_nd.shape());
  kernels::cast(stream, dprompt_nd, dy);
  for (std::size_t layer = net_.size(); layer-- > 0;) {
    Tensor dweight = parameters_.gradient(net_[layer].weight);
    Tensor dbias = parameters_.gradient(net_[layer].bias);
    kernels::linear_backward_weight(stream, dy, values[layer], dweight, dbias,
                                    context.accumulate_weight);
    Tensor dx = stream.allocate(dy.dtype(), values[layer].shape());
    kernels::linear_backward_input(stream, dy, parameters_.compute(net_[layer].weight), dx);
    if (layer > 0) kernels::relu_backward(stream, values[layer], dx);
    dy = dx;
  }
  Tensor dtable = parameters_.gradient(table_);
  if (!context.accumulate_weight) return kernels::cast(stream, dy, dtable);
  Tensor added = stream.allocate(DType::f32, dtable.shape());
  kernels::cast(stream, dy, added);
  kernels::add(stream, dtable, added, dtable);
}

}  // namespace collie
