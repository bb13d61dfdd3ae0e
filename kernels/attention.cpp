#include "kernels/attention.hpp"

#include "kernels/attention_impl.hpp"
#include "kernels/dispatch.hpp"

namespace collie::kernels {

namespace {

// From this many new tokens on, the blocked kernel beats a pass over the cache for each token.
constexpr std::int64_t prefill_tokens_min = 8;

void check_heads(const HeadShape& heads) {
  COLLIE_CHECK(heads.kv_heads > 0 && heads.heads > 0 && heads.heads % heads.kv_heads == 0,
               "{} query heads over {} key/value heads", heads.heads, heads.kv_heads);
  COLLIE_CHECK(heads.head_dim > 0, "head_dim {}", heads.head_dim);
}

void check_operands(const Tensor& qkv, const AttentionShape& shape, const Tensor& positions_t,
                    const Tensor& context, const Tensor& lse) {
  check_heads(shape.heads);
  const std::int64_t tokens = shape.batch * shape.sequence;
  COLLIE_CHECK(shape.window >= 0, "window {}", shape.window);
  require_compute(qkv, "qkv");
  require_shape(qkv, {tokens, shape.heads.packed_width()}, "qkv");
  require_dtype(positions_t, DType::i32, "positions");
  require_shape(positions_t, {tokens}, "positions");
  require_dtype(context, qkv.dtype(), "context");
  require_shape(context, {tokens, shape.heads.heads * shape.heads.head_dim}, "context");
  require_dtype(lse, DType::f32, "lse");
  require_shape(lse, {shape.batch, shape.heads.heads, shape.sequence}, "lse");
}

void check_slice(const Tensor& qkv, const AttentionShape& shape, std::int64_t begin,
                 const Tensor& kv) {
  require_dtype(kv, qkv.dtype(), "kv");
  require_shape(kv, {kv.dim(0), 2 * shape.heads.kv_heads * shape.heads.head_dim}, "kv");
  COLLIE_CHECK(shape.batch > 0 && kv.dim(0) % shape.batch == 0, "{} tokens of {} rows", kv.dim(0),
               shape.batch);
  COLLIE_CHECK(begin >= 0 && begin + shape.sequence <= kv.dim(0) / shape.batch,
               "{} tokens from {} on of rows of {}", shape.sequence, begin,
               kv.dim(0) / shape.batch);
}

}  // namespace

void attention_forward(Stream& stream, const Tensor& qkv, const AttentionShape& shape,
                       const Tensor& positions_t, Tensor& context, Tensor& lse) {
  check_operands(qkv, shape, positions_t, context, lse);
  by_device(stream, [&] { cpu::attention_forward(stream, qkv, shape, positions_t, context, lse); });
}

void attention_backward(Stream& stream, const Tensor& dcontext, const Tensor& qkv,
                        const Tensor& context, const Tensor& lse, const AttentionShape& shape,
                        const Tensor& positions_t, Tensor& dqkv) {
  check_operands(qkv, shape, positions_t, context, lse);
  require_same(dcontext, context, "dcontext and context");
  require_same(dqkv, qkv, "dqkv and qkv");
  COLLIE_CHECK(!dqkv.shares_buffer_with(qkv) || dqkv.raw() != qkv.raw(), "dqkv must not be qkv");
  by_device(stream, [&] {
    cpu::attention_backward(stream, {&dcontext, &qkv, &context, &lse, &positions_t, &dqkv, shape});
  });
}

void attention_slice_forward(Stream& stream, const Tensor& qkv, const AttentionShape& shape,
                             std::int64_t begin, const Tensor& positions_t, Tensor& kv,
                             Tensor& context, Tensor& lse) {
  check_operands(qkv, shape, positions_t, context, lse);
  check_slice(qkv, shape, begin, kv);
  by_device(stream, [&] {
    cpu::attention_slice_forward(stream, qkv, shape, begin, positions_t, kv, context, lse);
  });
}

void attention_slice_backward(Stream& stream, const Tensor& dcontext, const Tensor& qkv,
                              const Tensor& context, const Tensor& lse, const AttentionShape& shape,
                              std::int64_t begin, const Tensor& positions_t, const Tensor& kv,
                              Tensor& dkv, Tensor& dqkv) {
  check_operands(qkv, shape, positions_t, context, lse);
  check_slice(qkv, shape, begin, kv);
  require_same(dcontext, context, "dcontext and context");
  require_same(dqkv, qkv, "dqkv and qkv");
  require_dtype(dkv, DType::f32, "dkv");
  require_shape(dkv, kv.shape(), "dkv");
  COLLIE_CHECK(!dqkv.shares_buffer_with(qkv) || dqkv.raw() != qkv.raw(), "dqkv must not be qkv");
  by_device(stream, [&] {
    cpu::attention_backward(
        stream, {&dcontext, &qkv, &context, &lse, &positions_t, &dqkv, shape, &kv, &dkv, begin});
  });
}

void attention_with_cache(Stream& stream, const Tensor& qkv, const AttentionShape& shape,
                          Tensor& cache, std::int64_t length, Tensor& context) {
  const HeadShape& heads = shape.heads;
  check_heads(heads);
  require_compute(qkv, "qkv");
  const std::int64_t tokens = qkv.dim(0);
  require_shape(qkv, {tokens, heads.packed_width()}, "qkv");
  require_dtype(context, qkv.dtype(), "context");
  require_shape(context, {tokens, heads.heads * heads.head_dim}, "context");
  require_dtype(cache, qkv.dtype(), "cache");
  require_shape(cache, {cache.dim(0), 2 * heads.kv_heads * heads.head_dim}, "cache");
  COLLIE_CHECK(length >= 0 && length + tokens <= cache.dim(0),
               "{} cached and {} new tokens in a cache of {}", length, tokens, cache.dim(0));
  by_device(stream, [&] {
    if (tokens == 0) return;
    cpu::append_to_cache(qkv, heads, cache, length);
    if (tokens >= prefill_tokens_min) {
      cpu::attention_prefill(stream, qkv, shape, cache, length, context);
    } else {
      cpu::attention_decode(stream, qkv, shape, cache, length, context);
    }
  });
}

}  // namespace collie::kernels
