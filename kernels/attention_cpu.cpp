#include <cmath>
#include <cstring>

#include "kernels/attention_impl.hpp"
#include "kernels/dispatch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention_cpu.cpp"
#include "kernels/simd.hpp"
// The targets come first.
#include "kernels/attention_blocks_impl.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {
namespace {

struct ForwardScratch {
  float *rows, *queries_t, *keys, *values, *scores_t, *out_t;
  float *maximum, *total, *rescale;
  Visible visible;

  ForwardScratch(Stream& stream, int lane, std::int64_t ld) {
    const std::int64_t block_bytes = block_size * ld * 4;
    ScratchCutter cutter(stream.scratch(
        lane, static_cast<std::size_t>(5 * block_bytes + block_size * block_size * 4 + 4096)));
    rows = cutter.take(block_size * ld);
    queries_t = cutter.take(block_size * ld);
    keys = cutter.take(block_size * ld);
    values = cutter.take(block_size * ld);
    out_t = cutter.take(block_size * ld);
    scores_t = cutter.take(block_size * block_size);
    maximum = cutter.take(block_size);
    total = cutter.take(block_size);
    rescale = cutter.take(block_size);
    visible.first_key = cutter.take<std::int32_t>(block_size);
    visible.last_key = cutter.take<std::int32_t>(block_size);
  }
};

// Columns handled together, so that their chains of max and + overlap.
inline constexpr std::int64_t stripe = lanes >= 4 ? 4 * lanes : 4;
inline constexpr int stripe_vectors = static_cast<int>(stripe / lanes);

// One stripe of the online softmax in base 2: scores become weights under the new maximum. Returns
// whether earlier sums must be rescaled.
HWY_INLINE bool softmax_stripe(float* scores_t, std::int64_t key_count, float* maximum,
                               float* total, float* rescale) {
  FloatVec top[stripe_vectors];
  FloatVec sum[stripe_vectors];
#pragma GCC unroll 4
  for (int v = 0; v < stripe_vectors; ++v) top[v] = load(maximum + v * lanes);
  for (std::int64_t k = 0; k < key_count; ++k) {
#pragma GCC unroll 4
    for (int v = 0; v < stripe_vectors; ++v) {
      top[v] = hn::Max(top[v], load(scores_t + k * block_size + v * lanes));
    }
  }
  bool changed = false;
#pragma GCC unroll 4
  for (int v = 0; v < stripe_vectors; ++v) {
    const FloatVec before = load(maximum + v * lanes);
    const FloatVec factor = exp2_nonpositive(hn::Sub(before, top[v]));
    changed = changed || !hn::AllTrue(FloatTag(), hn::Eq(before, top[v]));
    store(top[v], maximum + v * lanes);
    store(factor, rescale + v * lanes);
    sum[v] = hn::Mul(load(total + v * lanes), factor);
  }
  for (std::int64_t k = 0; k < key_count; ++k) {
#pragma GCC unroll 4
    for (int v = 0; v < stripe_vectors; ++v) {
      float* const score = scores_t + k * block_size + v * lanes;
      const FloatVec weight = exp2_nonpositive(hn::Sub(load(score), top[v]));
      sum[v] = hn::Add(sum[v], weight);
      store(weight, score);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < stripe_vectors; ++v) store(sum[v], total + v * lanes);
  return changed;
}

HWY_NOINLINE void softmax_block(ForwardScratch& s, std::int64_t key_count, std::int64_t head_dim,
                                bool first) {
  bool changed = false;
  for (std::int64_t q = 0; q < block_size; q += stripe) {
    changed |= softmax_stripe(s.scores_t + q, key_count, s.maximum + q, s.total + q, s.rescale + q);
  }
  if (first || !changed) return;
  for (std::int64_t row = 0; row < head_dim; ++row) {
    float* const out = s.out_t + row * block_size;
    for (std::int64_t q = 0; q < block_size; q += lanes) {
      store(hn::Mul(load(out + q), load(s.rescale + q)), out + q);
    }
  }
}

// All of one block of queries of one head.
template <class T>
void forward_block(Stream& stream, const AttentionForwardJob<T>& job, std::int64_t row,
                   std::int64_t head, std::int64_t query, int lane) {
  const std::int64_t head_dim = job.heads.head_dim;
  const std::int64_t ld = padded_head_dim(head_dim);
  const std::int64_t count = std::min(block_size, job.query_count - query);
  const std::int64_t group = head * job.heads.kv_heads / job.heads.heads;
  ForwardScratch s(stream, lane, ld);
  pack_rows(job.queries + row * job.query_batch_stride + query * job.query_stride + head * head_dim,
            job.query_stride, count, head_dim, s.rows, ld, block_size);
  transpose(s.rows, ld, block_size, ld, job.scale * log2_e, s.queries_t, block_size);
  std::fill_n(s.maximum, block_size, -1e30F);  // finite: -infinity - -infinity is a NaN
  std::fill_n(s.total, block_size, 0.0F);
  const std::int64_t index = job.query_offset + query;
  find_visible(job.positions == nullptr ? nullptr : job.positions + row * job.query_count + query,
               job.window, index, count, s.visible);
  const std::int64_t first = s.visible.key_begin / block_size * block_size;
  const std::int64_t offset = row * job.key_batch_stride + group * head_dim;
  for (std::int64_t key = first; key < s.visible.key_end; key += block_size) {
    const std::int64_t keys = std::min(block_size, s.visible.key_end - key);
    pack_rows(job.keys + offset + key * job.key_stride, job.key_stride, keys, head_dim, s.keys, ld,
              keys);
    pack_rows(job.values + offset + key * job.key_stride, job.key_stride, keys, head_dim, s.values,
              ld, keys);
    const bool diagonal = key == index;
    multiply_scores(s.keys, ld, s.queries_t, head_dim, keys, diagonal, s.scores_t);
    if (s.visible.needs_mask(key, key + keys)) mask_scores(s.visible, key, keys, s.scores_t);
    softmax_block(s, keys, head_dim, key == first);
    multiply_values(s.values, ld, s.scores_t, head_dim, keys, diagonal, key != first, s.out_t);
  }
  transpose(s.out_t, block_size, (head_dim + 3) / 4 * 4, block_size, 1.0F, s.rows, ld);
  store_context(job, row, head, query, count, s.rows, ld, s.total, s.maximum);
}

template <class T>
void run_forward(Stream& stream, const AttentionForwardJob<T>& job) {
  const std::int64_t blocks = ceil_div(job.query_count, block_size);
  stream.parallel_for(job.batch * job.heads.heads * blocks, [&](std::int64_t index, int lane) {
    const std::int64_t row_head = index / blocks;
    const std::int64_t block = blocks - 1 - index % blocks;  // the longest first
    forward_block(stream, job, row_head / job.heads.heads, row_head % job.heads.heads,
                  block * block_size, lane);
  });
}

void attention_forward_f32(Stream& stream, const AttentionForwardJob<float>& job) {
  run_forward(stream, job);
}
void attention_forward_bf16(Stream& stream, const AttentionForwardJob<BFloat16>& job) {
  run_forward(stream, job);
}

}  // namespace
}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

namespace {

HWY_EXPORT(attention_forward_f32);
HWY_EXPORT(attention_forward_bf16);

void run(Stream& stream, const AttentionForwardJob<float>& job) {
  HWY_DYNAMIC_DISPATCH(attention_forward_f32)(stream, job);
}
void run(Stream& stream, const AttentionForwardJob<BFloat16>& job) {
  if (cpu::attention_forward_dots(stream, job)) return;
  HWY_DYNAMIC_DISPATCH(attention_forward_bf16)(stream, job);
}

template <class T>
void forward(Stream& stream, const Tensor& qkv, const AttentionShape& shape,
             const Tensor& positions_t, Tensor& context, Tensor& lse) {
  const HeadShape& heads = shape.heads;
  const std::int64_t width = heads.packed_width();
  const T* const data = qkv.data<T>();
  AttentionForwardJob<T> job{};
  job.queries = data;
  job.keys = data + heads.heads * heads.head_dim;
  job.values = job.keys + heads.kv_heads * heads.head_dim;
  job.query_batch_stride = job.key_batch_stride = shape.sequence * width;
  job.query_stride = job.key_stride = width;
  job.batch = shape.batch;
  job.query_count = shape.sequence;
  job.heads = heads;
  job.scale = shape.scale;
  job.window = shape.window;
  job.positions = positions_t.data<std::int32_t>();
  job.context = context.mutable_data<T>();
  job.lse = lse.mutable_data<float>();
  run(stream, job);
}

// Queries from `begin` on of rows whose keys and values, their own included, are in kv.
template <class T>
void forward_on_cache(Stream& stream, const Tensor& qkv, const AttentionShape& shape,
                      std::int64_t begin, const Tensor& kv, const std::int32_t* positions,
                      Tensor& context, float* lse) {
  const HeadShape& heads = shape.heads;
  AttentionForwardJob<T> job{};
  job.queries = qkv.data<T>();
  job.keys = kv.data<T>();
  job.values = job.keys + heads.kv_heads * heads.head_dim;
  job.query_stride = heads.packed_width();
  job.key_stride = 2 * heads.kv_heads * heads.head_dim;
  job.query_batch_stride = shape.sequence * job.query_stride;
  job.key_batch_stride = kv.dim(0) / shape.batch * job.key_stride;
  job.batch = shape.batch;
  job.query_count = shape.sequence;
  job.query_offset = begin;
  job.heads = heads;
  job.scale = shape.scale;
  job.window = shape.window;
  job.positions = positions;
  job.context = context.mutable_data<T>();
  job.lse = lse;
  run(stream, job);
}

void forward_on_cache_any(Stream& stream, const Tensor& qkv, const AttentionShape& shape,
                          std::int64_t begin, const Tensor& kv, const std::int32_t* positions,
                          Tensor& context, float* lse) {
  if (qkv.dtype() == DType::f32) {
    forward_on_cache<float>(stream, qkv, shape, begin, kv, positions, context, lse);
  } else {
    forward_on_cache<BFloat16>(stream, qkv, shape, begin, kv, positions, context, lse);
  }
}

}  // namespace

void cpu::attention_forward(Stream& stream, const Tensor& qkv, const AttentionShape& shape,
                            const Tensor& positions_t, Tensor& context, Tensor& lse) {
  if (qkv.dtype() == DType::f32) {
    forward<float>(stream, qkv, shape, positions_t, context, lse);
  } else {
    forward<BFloat16>(stream, qkv, shape, positions_t, context, lse);
  }
}

void cpu::attention_prefill(Stream& stream, const Tensor& qkv, const AttentionShape& shape,
                            const Tensor& cache, std::int64_t length, Tensor& context) {
  AttentionShape one_row = shape;
  one_row.batch = 1;
  one_row.sequence = qkv.dim(0);
  forward_on_cache_any(stream, qkv, one_row, length, cache, nullptr, context, nullptr);
}

void cpu::attention_slice_forward(Stream& stream, const Tensor& qkv, const AttentionShape& shape,
                                  std::int64_t begin, const Tensor& positions_t, Tensor& kv,
                                  Tensor& context, Tensor& lse) {
  const std::int64_t whole = kv.dim(0) / shape.batch;
  for (std::int64_t row = 0; row < shape.batch; ++row) {
    Tensor cache = kv.rows(row * whole, (row + 1) * whole);
    append_to_cache(qkv.rows(row * shape.sequence, (row + 1) * shape.sequence), shape.heads, cache,
                    begin);
  }
  forward_on_cache_any(stream, qkv, shape, begin, kv, positions_t.data<std::int32_t>(), context,
                       lse.mutable_data<float>());
}

}  // namespace collie::kernels
#endif
