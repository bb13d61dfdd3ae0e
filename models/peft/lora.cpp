#include "models/peft/lora.hpp"

#include "kernels/column_scale.hpp"
#include "kernels/low_rank.hpp"
#include "kernels/matmul.hpp"
#include "models/peft/tuning.hpp"
#include "models/residual_dropout.hpp"
#include "runtime/hash.hpp"

namespace collie {

LoraAdapters::LoraAdapters(const ShardModel& model, int first_weight, int count) : model_(model) {
  if (!model.options.tuning) return;
  const Parameters& parameters = model.parameters;
  std::int64_t column = 0, rank_begin = 0, rank = 0;
  for (int index = first_weight; index < first_weight + count; ++index) {
    const ParameterSpec& weight = parameters.specs()[static_cast<std::size_t>(index)];
    const int a = parameters.find(weight.name + ".lora_a");
    const int b = parameters.find(weight.name + ".lora_b");
    if (a >= 0) {
      if (first_a_ < 0) first_a_ = a;
      ++a_count_;
      rank_begin = ranks_;
      rank = parameters.specs()[static_cast<std::size_t>(a)].rows;
      ranks_ += rank;
    }
    // Without an A of its own a weight shares that of the one before it: they are one in files.
    const double scale = b >= 0 ? model.options.tuning->scale_of(adapted_path(weight)) : 0.0;
    if (b >= 0) parts_.push_back({index, b, column, rank_begin, rank, static_cast<float>(scale)});
    column += weight.local_rows();
  }
  const ParameterSpec& first = parameters.specs()[static_cast<std::size_t>(first_weight)];
  mask_id_ = hash_bytes(std::as_bytes(std::span(first.name)));
}

bool LoraAdapters::drops(const SegmentContext& context) const {
  return !empty() && context.mode == Mode::train && model_.options.tuning->dropout > 0.0;
}

Tensor LoraAdapters::dropped(SegmentContext& context, const Tensor& x_tk) const {
  if (!drops(context)) return x_tk;
  Tensor out = context.stream.allocate(x_tk.dtype(), x_tk.shape());
  kernels::dropout(context.stream, x_tk, place(context), out);
  return out;
}

Tensor LoraAdapters::narrow(SegmentContext& context, const Tensor& seen_tk) const {
  Tensor u_tu = context.stream.allocate(seen_tk.dtype(), {seen_tk.dim(0), ranks_});
  kernels::linear_forward(context.stream, seen_tk,
                          model_.parameters.compute_rows(first_a_, a_count_), Tensor(), u_tu);
  return u_tu;
}

void LoraAdapters::add_forward(SegmentContext& context, const Tensor& x_tk, Tensor& y_tm) const {
  if (!empty()) add_forward_seen(context, dropped(context, x_tk), y_tm);
}

void LoraAdapters::add_forward_seen(SegmentContext& context, const Tensor& seen_tk,
                                    Tensor& y_tm) const {
  const Tensor u_tu = narrow(context, seen_tk);
  for (const Part& part : parts_) {
    kernels::low_rank_expand(context.stream, u_tu, model_.parameters.compute(part.b),
                             {part.column, part.rank_begin, part.scale}, y_tm);
  }
}

void LoraAdapters::add_part(SegmentContext& context, const Tensor& x_tk, std::int64_t column,
                            Tensor& y_tn) const {
  for (const Part& part : parts_) {
    if (part.column != column) continue;
    kernels::low_rank_expand(context.stream, narrow(context, dropped(context, x_tk)),
                             model_.parameters.compute(part.b), {0, part.rank_begin, part.scale},
                             y_tn);
  }
}

void LoraAdapters::row_squares(SegmentContext& context, Tensor& squares_m) const {
  const Parameters& parameters = model_.parameters;
  for (const Part& part : parts_) {
    kernels::row_squares(context.stream, parameters.compute(part.weight),
                         parameters.compute_rows(first_a_, a_count_), parameters.compute(part.b),
                         {part.column, part.rank_begin, part.scale}, squares_m);
  }
}

// Of the A's outputs. Weights that share an A add up.
Tensor LoraAdapters::narrow_gradient(SegmentContext& context, const Tensor& dy_tm) const {
  Tensor du_tu = context.stream.allocate(dy_tm.dtype(), {dy_tm.dim(0), ranks_});
  std::int64_t begun = 0;  // rank columns that have been set
  for (const Part& part : parts_) {
    const bool accumulate = part.rank_begin < begun;
    kernels::low_rank_reduce(context.stream, dy_tm, model_.parameters.compute(part.b),
                             {part.column, part.rank_begin, part.scale}, du_tu, accumulate);
    begun = part.rank_begin + part.rank;
  }
  return du_tu;
}

void LoraAdapters::backward_seen(SegmentContext& context, const Tensor& dy_tm, Tensor& dseen_tk,
                                 bool accumulate) const {
  kernels::linear_backward_input(context.stream, narrow_gradient(context, dy_tm),
                                 model_.parameters.compute_rows(first_a_, a_count_), dseen_tk,
                                 accumulate);
}

void LoraAdapters::add_through_mask(SegmentContext& context, const Tensor& dseen_tk,
                                    Tensor& dx_tk) const {
  kernels::dropout(context.stream, dseen_tk, place(context), dx_tk, true);
}

void LoraAdapters::add_backward_input(SegmentContext& context, const Tensor& dy_tm,
                                      Tensor& dx_tk) const {
  if (empty()) return;
  if (!drops(context)) return backward_seen(context, dy_tm, dx_tk, true);
  Tensor dseen_tk = context.stream.allocate(dx_tk.dtype(), dx_tk.shape());
  backward_seen(context, dy_tm, dseen_tk, false);
  add_through_mask(context, dseen_tk, dx_tk);
}

void LoraAdapters::backward_weight(SegmentContext& context, const Tensor& dy_tm,
                                   const Tensor& x_tk) const {
  if (empty()) return;
  backward_weight_seen(context, dy_tm, dropped(context, x_tk), context.accumulate_weight);
}

void LoraAdapters::backward_weight_seen(SegmentContext& context, const Tensor& dy_tm,
                                        const Tensor& seen_tk, bool accumulate) const {
  const Tensor u_tu = narrow(context, seen_tk);
  for (const Part& part : parts_) {
    Tensor db = model_.parameters.gradient(part.b);
    kernels::low_rank_weight(context.stream, dy_tm, u_tu,
                             {part.column, part.rank_begin, part.scale}, db, accumulate);
  }
  Tensor da = model_.parameters.gradient_rows(first_a_, a_count_);
  Tensor no_bias;
  kernels::linear_backward_weight(context.stream, narrow_gradient(context, dy_tm), seen_tk, da,
                                  no_bias, accumulate);
}

// The mask belongs to the input, so q, k and v see the same one, and shards parts of one.
kernels::DropoutPlace LoraAdapters::place(const SegmentContext& context) const {
  const ParameterSpec& a = model_.parameters.specs()[static_cast<std::size_t>(first_a_)];
  kernels::DropoutPlace place = place_of_tokens(context.batch);
  place.seed = model_.options.tuning->seed;
  place.stream_id = mask_id_;
  place.probability = model_.options.tuning->dropout;
  place.columns = a.cols;
  place.column_begin = a.col_begin;
  return place;
}

}  // namespace collie
