#include "models/peft/lora.hpp"

#include "kernels/column_scale.hpp"
#include "kernels/low_rank.hpp"
#include "kernels/matmul.hpp"
#include "models/peft/tuning.hpp"
#include "runtime/hash.hpp"

namespace collie {

LoraAdapters::LoraAdapters(const ShardModel& model, int first_weight, int count) : model_(model) {
  if (!model.options.tuning) return;
  const Parameters& parameters = model.parameters;
  std::int64_t column = 0, rank_begin = 0;
  for (int index = first_weight; index < first_weight + count; ++index) {
    const ParameterSpec& weight = parameters.specs()[static_cast<std::size_t>(index)];
    const int a = parameters.find(weight.name + ".lora_a");
    const int b = parameters.find(weight.name + ".lora_b");
    if (a >= 0) {
      if (first_a_ < 0) first_a_ = a;
      ++a_count_;
      rank_begin = ranks_;
      ranks_ += model.options.tuning->rank;
    }
    // Without an A of its own a weight shares that of the one before it: they are one in files.
    if (b >= 0) parts_.push_back({index, b, column, rank_begin});
    column += weight.local_rows();
  }
  const ParameterSpec& first = parameters.specs()[static_cast<std::size_t>(first_weight)];
  mask_id_ = hash_bytes(std::as_bytes(std::span(first.name)));
}

bool LoraAdapters::drops(const SegmentContext& context) const {
  return context.mode == Mode::train && model_.options.tuning->dropout > 0.0;
}

Tensor LoraAdapters::dropped(SegmentContext& context, const Tensor& x_tk) const {
  if (!drops(context)) return x_tk;
  Tensor out = context.stream.allocate(x_tk.dtype(), x_tk.shape());
  kernels::dropout(context.stream, x_tk, place(context), out);
  return out;
}

Tensor LoraAdapters::narrow(SegmentContext& context, const Tensor& x_tk) const {
  Tensor u_tu = context.stream.allocate(x_tk.dtype(), {x_tk.dim(0), ranks_});
  kernels::linear_forward(context.stream, x_tk, model_.parameters.compute_rows(first_a_, a_count_),
                          Tensor(), u_tu);
  return u_tu;
}

void LoraAdapters::add_forward(SegmentContext& context, const Tensor& x_tk, Tensor& y_tm) const {
  if (empty()) return;
  const auto scale = static_cast<float>(model_.options.tuning->lora_scale());
  const Tensor u_tu = narrow(context, dropped(context, x_tk));
  for (const Part& part : parts_) {
    kernels::low_rank_expand(context.stream, u_tu, model_.parameters.compute(part.b),
                             {part.column, part.rank_begin, scale}, y_tm);
  }
}

void LoraAdapters::add_part(SegmentContext& context, const Tensor& x_tk, std::int64_t column,
                            Tensor& y_tn) const {
  const auto scale = static_cast<float>(model_.options.tuning->lora_scale());
  for (const Part& part : parts_) {
    if (part.column != column) continue;
    kernels::low_rank_expand(context.stream, narrow(context, dropped(context, x_tk)),
                             model_.parameters.compute(part.b), {0, part.rank_begin, scale}, y_tn);
  }
}

void LoraAdapters::row_squares(SegmentContext& context, Tensor& squares_m) const {
  const auto scale = static_cast<float>(model_.options.tuning->lora_scale());
  const Parameters& parameters = model_.parameters;
  for (const Part& part : parts_) {
    kernels::row_squares(context.stream, parameters.compute(part.weight),
                         parameters.compute_rows(first_a_, a_count_), parameters.compute(part.b),
                         {part.column, part.rank_begin, scale}, squares_m);
  }
}

// Of the A's outputs. Weights that share an A add up.
Tensor LoraAdapters::narrow_gradient(SegmentContext& context, const Tensor& dy_tm) const {
  const auto scale = static_cast<float>(model_.options.tuning->lora_scale());
  Tensor du_tu = context.stream.allocate(dy_tm.dtype(), {dy_tm.dim(0), ranks_});
  std::int64_t begun = 0;  // rank columns that have been set
  for (const Part& part : parts_) {
    const bool accumulate = part.rank_begin < begun;
    kernels::low_rank_reduce(context.stream, dy_tm, model_.parameters.compute(part.b),
                             {part.column, part.rank_begin, scale}, du_tu, accumulate);
    begun = part.rank_begin + model_.options.tuning->rank;
  }
  return du_tu;
}

void LoraAdapters::add_backward_input(SegmentContext& context, const Tensor& dy_tm,
                                      Tensor& dx_tk) const {
  if (empty()) return;
  const Tensor a = model_.parameters.compute_rows(first_a_, a_count_);
  const Tensor du_tu = narrow_gradient(context, dy_tm);
  if (!drops(context)) {
    kernels::linear_backward_input(context.stream, du_tu, a, dx_tk, true);
    return;
  }
  Tensor through_a = context.stream.allocate(dx_tk.dtype(), dx_tk.shape());
  kernels::linear_backward_input(context.stream, du_tu, a, through_a);
  kernels::dropout(context.stream, through_a, place(context), dx_tk, true);
}

void LoraAdapters::backward_weight(SegmentContext& context, const Tensor& dy_tm,
                                   const Tensor& x_tk) const {
  if (empty()) return;
  const auto scale = static_cast<float>(model_.options.tuning->lora_scale());
  const Tensor seen_tk = dropped(context, x_tk);
  const Tensor u_tu = narrow(context, seen_tk);
  for (const Part& part : parts_) {
    Tensor db = model_.parameters.gradient(part.b);
    kernels::low_rank_weight(context.stream, dy_tm, u_tu, {part.column, part.rank_begin, scale}, db,
                             context.accumulate_weight);
  }
  Tensor da = model_.parameters.gradient_rows(first_a_, a_count_);
  Tensor no_bias;
  kernels::linear_backward_weight(context.stream, narrow_gradient(context, dy_tm), seen_tk, da,
                                  no_bias, context.accumulate_weight);
}

// The mask belongs to the input, so q, k and v see the same one, and shards parts of one.
kernels::DropoutPlace LoraAdapters::place(const SegmentContext& context) const {
  const ParameterSpec& a = model_.parameters.specs()[static_cast<std::size_t>(first_a_)];
  const MicroBatch& batch = context.batch;
  const std::int64_t whole = batch.slice.count > 1 ? batch.slice.whole : batch.sequence;
  return {.seed = model_.options.tuning->seed,
          .stream_id = mask_id_,
          .probability = model_.options.tuning->dropout,
          .row_begin = batch.first_row * whole + batch.slice.begin,
          .rows_together = batch.sequence,
          .rows_between = whole - batch.sequence,
          .columns = a.cols,
          .column_begin = a.col_begin};
}

}  // namespace collie
