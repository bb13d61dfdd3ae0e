#include "models/residual_dropout.hpp"

#include "runtime/hash.hpp"

namespace collie {

kernels::DropoutPlace place_of_tokens(const MicroBatch& batch) {
  const std::int64_t whole = batch.slice.count > 1 ? batch.slice.whole : batch.sequence;
  kernels::DropoutPlace place;
  place.row_begin = batch.first_row * whole + batch.slice.begin;
  place.rows_together = batch.sequence;
  place.rows_between = whole - batch.sequence;
  return place;
}

ResidualDropout::ResidualDropout(const ShardModel& model, std::string_view place)
    : probability_(model.options.dropout),
      seed_(model.options.dropout_seed),
      mask_id_(hash_bytes(std::as_bytes(std::span(place)))) {}

Tensor ResidualDropout::apply(SegmentContext& context, const Tensor& x_td) const {
  if (context.mode != Mode::train || probability_ == 0.0) return x_td;
  kernels::DropoutPlace place = place_of_tokens(context.batch);
  place.seed = seed_;
  place.stream_id = mask_id_;
  place.probability = probability_;
  place.columns = x_td.dim(1);
  Tensor out_td = context.stream.allocate(x_td.dtype(), x_td.shape());
  kernels::dropout(context.stream, x_td, place, out_td);
  return out_td;
}

}  // namespace collie
