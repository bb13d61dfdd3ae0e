#include "models/peft/embedding_lora.hpp"

#include "kernels/elementwise.hpp"
#include "kernels/embedding.hpp"
#include "kernels/low_rank.hpp"
#include "models/peft/tuning.hpp"

namespace collie {

EmbeddingLora::EmbeddingLora(const ShardModel& model)
    : parameters_(model.parameters),
      a_(parameters_.find("embedding.lora_embedding_a")),
      b_(parameters_.find("embedding.lora_embedding_b")) {
  if (a_ < 0) return;
  const ParameterSpec& table =
      parameters_.specs()[static_cast<std::size_t>(require_parameter(parameters_, "embedding"))];
  row_begin_ = table.row_begin;
  scale_ = static_cast<float>(model.options.tuning->scale_of(module_path(table)));
}

Tensor EmbeddingLora::look_up(SegmentContext& context, DType dtype) const {
  const Tensor a_vr = parameters_.compute(a_);
  const Tensor& ids_t = context.batch.ids_t;
  Tensor u_tr = context.stream.allocate(dtype, {ids_t.dim(0), a_vr.dim(1)});
  kernels::embedding_forward(context.stream, ids_t, a_vr, row_begin_, u_tr);
  return u_tr;
}

void EmbeddingLora::add_forward(SegmentContext& context, Tensor& out_td) const {
  kernels::low_rank_expand(context.stream, look_up(context, out_td.dtype()),
                           parameters_.compute(b_), {0, 0, scale_}, out_td);
}

void EmbeddingLora::backward_weight(SegmentContext& context, const Tensor& dout_td) const {
  Stream& stream = context.stream;
  const Tensor u_tr = look_up(context, dout_td.dtype());
  Tensor db_dr = parameters_.gradient(b_);
  kernels::low_rank_weight(stream, dout_td, u_tr, {0, 0, scale_}, db_dr, context.accumulate_weight);
  Tensor du_tr = stream.allocate(u_tr.dtype(), u_tr.shape());
  kernels::low_rank_reduce(stream, dout_td, parameters_.compute(b_), {0, 0, scale_}, du_tr);
  Tensor da_vr = parameters_.gradient(a_);
  if (!context.accumulate_weight) kernels::fill_zero(stream, da_vr);
  kernels::embedding_backward(stream, context.batch.ids_t, du_tr, row_begin_, da_vr);
}

}  // namespace collie
