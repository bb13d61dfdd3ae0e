#include "kernels/cross_entropy.hpp"

#include "kernels/cross_entropy_impl.hpp"
#include "kernels/dispatch.hpp"

namespace collie::kernels {

namespace {

void require_labels(const Tensor& labels_c, std::int64_t tokens) {
  require_dtype(labels_c, DType::i32, "labels");
  require_shape(labels_c, {tokens}, "labels");
}

void require_stats(const Tensor& stats_c3, std::int64_t tokens) {
  require_dtype(stats_c3, DType::f32, "stats");
  require_shape(stats_c3, {tokens, 3}, "stats");
}

void require_logits(const Tensor& logits_cv, std::int64_t vocabulary_begin) {
  require_compute(logits_cv, "logits");
  COLLIE_CHECK(logits_cv.shape().rank() == 2 && logits_cv.dim(1) > 0,
               "logits must be a matrix, not {}", to_string(logits_cv.shape()));
  COLLIE_CHECK(vocabulary_begin >= 0, "vocabulary begins at {}", vocabulary_begin);
}

void require_losses(const Tensor& losses_c, std::int64_t tokens) {
  require_dtype(losses_c, DType::f32, "losses");
  require_shape(losses_c, {tokens}, "losses");
}

}  // namespace

void cross_entropy_stats(Stream& stream, const Tensor& logits_cv, const Tensor& labels_c,
                         std::int64_t vocabulary_begin, Tensor& stats_c3) {
  require_logits(logits_cv, vocabulary_begin);
  require_labels(labels_c, logits_cv.dim(0));
  require_stats(stats_c3, logits_cv.dim(0));
  by_device(stream, [&] {
    cpu::cross_entropy_stats(stream, logits_cv, labels_c, vocabulary_begin, stats_c3);
  });
}

void cross_entropy_combine(Stream& stream, std::span<const Tensor> parts_c3, Tensor& stats_c3) {
  COLLIE_CHECK(!parts_c3.empty() && stats_c3.defined(), "statistics of no shard");
  for (const Tensor& part : parts_c3) require_stats(part, stats_c3.dim(0));
  require_stats(stats_c3, stats_c3.dim(0));
  by_device(stream, [&] { cpu::cross_entropy_combine(stream, parts_c3, stats_c3); });
}

void cross_entropy_backward(Stream& stream, Tensor& logits_cv, const Tensor& labels_c,
                            std::int64_t vocabulary_begin, const Tensor& stats_c3, float scale,
                            Tensor& losses_c) {
  require_logits(logits_cv, vocabulary_begin);
  require_labels(labels_c, logits_cv.dim(0));
  require_stats(stats_c3, logits_cv.dim(0));
  require_losses(losses_c, logits_cv.dim(0));
  by_device(stream, [&] {
    cpu::cross_entropy_backward(stream, logits_cv, labels_c, vocabulary_begin, stats_c3, scale);
    cpu::cross_entropy_losses(stream, labels_c, stats_c3, losses_c);
  });
}

void cross_entropy_losses(Stream& stream, const Tensor& labels_c, const Tensor& stats_c3,
                          Tensor& losses_c) {
  COLLIE_CHECK(labels_c.defined(), "undefined labels");
  require_labels(labels_c, labels_c.dim(0));
  require_stats(stats_c3, labels_c.dim(0));
  require_losses(losses_c, labels_c.dim(0));
  by_device(stream, [&] { cpu::cross_entropy_losses(stream, labels_c, stats_c3, losses_c); });
}

}  // namespace collie::kernels
