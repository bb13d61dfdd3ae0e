#include "kernels/label_sample.hpp"

#include "kernels/dispatch.hpp"
#include "kernels/label_sample_impl.hpp"

namespace collie::kernels {

namespace {

constexpr std::int64_t exact_indices = std::int64_t{1} << 24;  // of f32

void require_sampled(const Tensor& best_c2, std::int64_t tokens) {
  require_dtype(best_c2, DType::f32, "sampled labels");
  require_shape(best_c2, {tokens, 2}, "sampled labels");
}

void require_places(const Tensor& labels_c, std::int64_t tokens) {
  require_dtype(labels_c, DType::i32, "labels");
  require_shape(labels_c, {tokens}, "labels");
}

}  // namespace

void sample_labels(Stream& stream, const Tensor& logits_cv, const Tensor& labels_c,
                   std::int64_t vocabulary_begin, const LabelSamplePlace& place, Tensor& best_c2) {
  require_compute(logits_cv, "logits");
  COLLIE_CHECK(logits_cv.shape().rank() == 2 && logits_cv.dim(1) > 0,
               "logits must be a matrix, not {}", to_string(logits_cv.shape()));
  COLLIE_CHECK(vocabulary_begin >= 0 && vocabulary_begin + logits_cv.dim(1) <= exact_indices,
               "a vocabulary part of {} from {} on", logits_cv.dim(1), vocabulary_begin);
  COLLIE_CHECK(place.row_tokens > 0, "rows of {} tokens", place.row_tokens);
  require_places(labels_c, logits_cv.dim(0));
  require_sampled(best_c2, logits_cv.dim(0));
  by_device(stream, [&] {
    cpu::sample_labels(stream, logits_cv, labels_c, vocabulary_begin, place, best_c2);
  });
}

void choose_sampled_labels(Stream& stream, std::span<const Tensor> best_c2, const Tensor& labels_c,
                           Tensor& drawn_c) {
  COLLIE_CHECK(!best_c2.empty() && labels_c.defined(), "sampled labels of no shard");
  require_places(labels_c, labels_c.dim(0));
  require_places(drawn_c, labels_c.dim(0));
  for (const Tensor& part : best_c2) require_sampled(part, labels_c.dim(0));
  by_device(stream, [&] { cpu::choose_sampled_labels(stream, best_c2, labels_c, drawn_c); });
}

}  // namespace collie::kernels
