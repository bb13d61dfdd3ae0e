#include <cmath>
#include <cstring>

#include "kernels/attention_impl.hpp"
#include "kernels/dispatch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention_cache_cpu.cpp"
#include "kernels/simd.hpp"
// The targets come first.
#include "kernels/attention_blocks_impl.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {
namespace {

template <class T>
HWY_INLINE float dot(const float* a, const T* b, std::int64_t count) {
  FloatVec sum = zero();
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) sum = hn::MulAdd(load(a + i), load(b + i), sum);
  if (i < count) {
    sum = hn::MulAdd(load_partial(a + i, count - i), load_partial(b + i, count - i), sum);
  }
  return sum_lanes(sum);
}

// sum[K] += weight * value[K]
template <class T>
HWY_INLINE void add_scaled(float weight, const T* value, std::int64_t count, float* sum) {
  const FloatVec factor = splat(weight);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    store(hn::MulAdd(factor, load(value + i), load(sum + i)), sum + i);
  }
  if (i < count) {
    const FloatVec added =
        hn::MulAdd(factor, load_partial(value + i, count - i), load_partial(sum + i, count - i));
    store_partial(added, sum + i, count - i);
  }
}

// Scores to weights in base 2; returns their sum and leaves the maximum.
HWY_INLINE float weigh(float* scores, std::int64_t count, float& maximum) {
  for (std::int64_t i = count; i < (count + lanes - 1) / lanes * lanes; ++i) {
    scores[i] = -std::numeric_limits<float>::infinity();
  }
  FloatVec top = splat(-std::numeric_limits<float>::infinity());
  for (std::int64_t i = 0; i < count; i += lanes) top = hn::Max(top, load(scores + i));
  maximum = max_lanes(top);
  FloatVec sum = zero();
  for (std::int64_t i = 0; i < count; i += lanes) {
    const FloatVec weight = exp2_nonpositive(hn::Sub(load(scores + i), splat(maximum)));
    sum = hn::Add(sum, weight);
    store(weight, scores + i);
  }
  return sum_lanes(sum);
}

// One piece of the cache for one new token and all query heads of one key/value head. A head's
// partial result is its maximum score, sum of weights and weighted sum of values.
template <class T>
void decode_piece(Stream& stream, const AttentionDecodeJob& job, std::int64_t index, int lane) {
  const HeadShape& heads = job.shape.heads;
  const std::int64_t head_dim = heads.head_dim;
  const std::int64_t per_group = heads.heads / heads.kv_heads;
  const std::int64_t token = index / job.pieces / heads.kv_heads;
  const std::int64_t group = index / job.pieces % heads.kv_heads;
  const std::int64_t begin = std::max(index % job.pieces * decode_piece_keys, job.first_key(token));
  const std::int64_t end =
      std::min((index % job.pieces + 1) * decode_piece_keys, job.length + token + 1);
  float* partial = job.partials + index * per_group * job.partial_size();
  const std::int64_t count = std::max<std::int64_t>(0, end - begin);
  const std::int64_t stride = 2 * heads.kv_heads * head_dim;
  const T* const keys = job.cache->data<T>() + begin * stride + group * head_dim;
  const T* const values = keys + heads.kv_heads * head_dim;
  const T* const queries = job.qkv->data<T>() + token * heads.packed_width();
  ScratchCutter cutter(stream.scratch(
      lane, static_cast<std::size_t>(decode_piece_keys + padded_head_dim(head_dim)) * 4 + 64));
  float* const scores = cutter.take(decode_piece_keys);
  float* const query = cutter.take(padded_head_dim(head_dim));
  for (std::int64_t h = 0; h < per_group; ++h, partial += job.partial_size()) {
    std::fill_n(partial, job.partial_size(), 0.0F);
    partial[0] = -1e30F;
    if (count == 0) continue;
    pack_rows(queries + (group * per_group + h) * head_dim, head_dim, 1, head_dim, query,
              padded_head_dim(head_dim), 1);
    const float scale = job.shape.scale * log2_e;
    for (std::int64_t k = 0; k < count; ++k) {
      scores[k] = scale * dot(query, keys + k * stride, head_dim);
    }
    partial[1] = weigh(scores, count, partial[0]);
    for (std::int64_t k = 0; k < count; ++k) {
      add_scaled(scores[k], values + k * stride, head_dim, partial + 2);
    }
  }
}

// Joins the pieces of one head in their order.
template <class T>
void decode_join(const AttentionDecodeJob& job, std::int64_t index) {
  const HeadShape& heads = job.shape.heads;
  const std::int64_t per_group = heads.heads / heads.kv_heads;
  const std::int64_t token = index / heads.heads;
  const std::int64_t head = index % heads.heads;
  const std::int64_t step = per_group * job.partial_size();
  float* const first = job.partials +
                       (token * heads.kv_heads + head / per_group) * job.pieces * step +
                       head % per_group * job.partial_size();
  for (std::int64_t piece = 1; piece < job.pieces; ++piece) {
    const float* const next = first + piece * step;
    const float top = first[0] > next[0] ? first[0] : next[0];
    const float keep = std::exp2(first[0] - top);
    const float add = std::exp2(next[0] - top);
    first[0] = top;
    for (std::int64_t i = 1; i < job.partial_size(); ++i) {
      first[i] = first[i] * keep + next[i] * add;
    }
  }
  unpack_row(first + 2, job.context->mutable_data<T>() + index * heads.head_dim, heads.head_dim,
             splat(1.0F / first[1]));
}

template <class T>
void run_decode(Stream& stream, const AttentionDecodeJob& job) {
  const std::int64_t tokens = job.qkv->dim(0);
  stream.parallel_for(
      tokens * job.shape.heads.kv_heads * job.pieces,
      [&](std::int64_t index, int lane) { decode_piece<T>(stream, job, index, lane); });
  for (std::int64_t i = 0; i < tokens * job.shape.heads.heads; ++i) decode_join<T>(job, i);
}

void attention_decode_any(Stream& stream, const AttentionDecodeJob& job) {
  if (job.qkv->dtype() == DType::f32) {
    run_decode<float>(stream, job);
  } else {
    run_decode<BFloat16>(stream, job);
  }
}

}  // namespace
}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

HWY_EXPORT(attention_decode_any);

void cpu::append_to_cache(const Tensor& qkv, const HeadShape& heads, Tensor& cache,
                          std::int64_t length) {
  const std::size_t element = size_of(qkv.dtype());
  const auto row_bytes = static_cast<std::size_t>(2 * heads.kv_heads * heads.head_dim) * element;
  const auto query_bytes = static_cast<std::size_t>(heads.heads * heads.head_dim) * element;
  std::byte* to = cache.mutable_raw() + static_cast<std::size_t>(length) * row_bytes;
  const std::byte* from = qkv.raw() + query_bytes;
  for (std::int64_t token = 0; token < qkv.dim(0); ++token) {
    std::memcpy(to, from, row_bytes);
    to += row_bytes;
    from += query_bytes + row_bytes;
  }
}

void cpu::attention_decode(Stream& stream, const Tensor& qkv, const AttentionShape& shape,
                           const Tensor& cache, std::int64_t length, Tensor& context) {
  AttentionDecodeJob job{&qkv, &cache, &context, shape, length};
  job.pieces = ceil_div(length + qkv.dim(0), decode_piece_keys);
  const HeadShape& heads = shape.heads;
  Tensor partials =
      stream.allocate(DType::f32, {qkv.dim(0) * job.pieces * heads.heads * job.partial_size()});
  job.partials = partials.mutable_data<float>();
  HWY_DYNAMIC_DISPATCH(attention_decode_any)(stream, job);
}

}  // namespace collie::kernels
#endif
