#include <cstring>

#include "kernels/attention_impl.hpp"
#include "kernels/dispatch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention_backward_cpu.cpp"
#include "kernels/simd.hpp"
// The targets come first.
#include "kernels/attention_blocks_impl.hpp"
#include "kernels/attention_gradients_impl.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {
namespace {

// f32 copies of one key/value head's rows, and where their gradients are summed: [S, ld] each.
struct KeySide {
  float *keys, *values, *dkeys, *dvalues;
};

// One block of queries.
struct QuerySide {
  float *queries, *queries_t, *upstream, *upstream_t, *context;
  float *scores_t, *dscores_t, *dqueries_t, *lse, *delta;
  Visible visible;
};

struct BackwardScratch {
  KeySide key_side;
  QuerySide query_side;

  BackwardScratch(Stream& stream, int lane, const AttentionBackwardJob& job) {
    const std::int64_t ld = padded_head_dim(job.head_dim());
    const std::int64_t rows = job.key_count();
    const std::int64_t floats = 6 * block_size * ld + 2 * block_size * block_size + 4 * rows * ld;
    ScratchCutter cutter(stream.scratch(lane, static_cast<std::size_t>(4 * floats + 4096)));
    QuerySide& q = query_side;
    for (float** side :
         {&q.queries, &q.queries_t, &q.upstream, &q.upstream_t, &q.context, &q.dqueries_t}) {
      *side = cutter.take(block_size * ld);
    }
    q.scores_t = cutter.take(block_size * block_size);
    q.dscores_t = cutter.take(block_size * block_size);
    q.lse = cutter.take(block_size);
    q.delta = cutter.take(block_size);
    q.visible.first_key = cutter.take<std::int32_t>(block_size);
    q.visible.last_key = cutter.take<std::int32_t>(block_size);
    for (float** side : {&key_side.keys, &key_side.values, &key_side.dkeys, &key_side.dvalues}) {
      *side = cutter.take(rows * ld);
    }
  }
};

// Row sums of upstream * context: what every dP of a query is reduced by (FlashAttention-2, D).
HWY_INLINE void row_dots(const float* a, const float* b, std::int64_t ld, float* dots) {
  for (std::int64_t q = 0; q < block_size; ++q) {
    FloatVec sum = zero();
    for (std::int64_t i = 0; i < ld; i += lanes) {
      sum = hn::MulAdd(load(a + q * ld + i), load(b + q * ld + i), sum);
    }
    dots[q] = sum_lanes(sum);
  }
}

template <class T>
HWY_NOINLINE void load_queries(const AttentionBackwardJob& job, std::int64_t row, std::int64_t head,
                               std::int64_t query, std::int64_t count, QuerySide& s) {
  const HeadShape& heads = job.shape.heads;
  const std::int64_t head_dim = heads.head_dim;
  const std::int64_t ld = padded_head_dim(head_dim);
  const std::int64_t token = row * job.shape.sequence + query;
  const std::int64_t width = heads.heads * head_dim;
  const std::int64_t at = token * width + head * head_dim;
  pack_rows(job.qkv->data<T>() + token * heads.packed_width() + head * head_dim,
            heads.packed_width(), count, head_dim, s.queries, ld, block_size);
  pack_rows(job.dcontext->data<T>() + at, width, count, head_dim, s.upstream, ld, block_size);
  pack_rows(job.context->data<T>() + at, width, count, head_dim, s.context, ld, block_size);
  transpose(s.queries, ld, block_size, ld, job.shape.scale * log2_e, s.queries_t, block_size);
  transpose(s.upstream, ld, block_size, ld, 1.0F, s.upstream_t, block_size);
  row_dots(s.upstream, s.context, ld, s.delta);
  const float* const lse =
      job.lse->data<float>() + (row * heads.heads + head) * job.shape.sequence + query;
  for (std::int64_t q = 0; q < block_size; ++q) {
    s.lse[q] = q < count ? lse[q] * log2_e : 1e30F;  // no weight past the last query
  }
  find_visible(job.positions_t->data<std::int32_t>() + token, job.shape.window,
               job.query_offset + query, count, s.visible);
}

// scores -> weights P, dP -> dS = P * (dP - D).
HWY_NOINLINE void differentiate_softmax(const QuerySide& s, std::int64_t key_count) {
  for (std::int64_t k = 0; k < key_count; ++k) {
    float* const scores = s.scores_t + k * block_size;
    float* const dscores = s.dscores_t + k * block_size;
#pragma GCC unroll 4
    for (std::int64_t q = 0; q < block_size; q += lanes) {
      const FloatVec weight = exp2_nonpositive(hn::Sub(load(scores + q), load(s.lse + q)));
      store(weight, scores + q);
      store(hn::Mul(weight, hn::Sub(load(dscores + q), load(s.delta + q))), dscores + q);
    }
  }
}

// dkeys[key_count, ld] += weights_t[key_count, count] rows[count, ld]
HWY_INLINE void add_to_keys(const float* weights_t, const float* rows, std::int64_t ld,
                            std::int64_t key_count, std::int64_t count, bool diagonal,
                            float* dkeys) {
  Product product{weights_t, block_size, rows, ld, dkeys, ld, key_count, ld, count, true};
  if (diagonal && key_count > half_block) {
    product.m = half_block;
    multiply<false>(product);
    product.a += half_block * block_size + half_block;
    product.b += half_block * ld;
    product.c += half_block * ld;
    product.m = key_count - half_block;
    product.k = count - half_block;
  }
  multiply<false>(product);
}

HWY_NOINLINE void backward_block(const AttentionBackwardJob& job, const KeySide& keys,
                                 std::int64_t key, std::int64_t key_count, std::int64_t count,
                                 bool first, bool diagonal, const QuerySide& s) {
  const std::int64_t head_dim = job.head_dim();
  const std::int64_t ld = padded_head_dim(head_dim);
  const std::int64_t at = key * ld;
  multiply_scores(keys.keys + at, ld, s.queries_t, head_dim, key_count, diagonal, s.scores_t);
  multiply_scores(keys.values + at, ld, s.upstream_t, head_dim, key_count, diagonal, s.dscores_t);
  if (s.visible.needs_mask(key, key + key_count)) {
    mask_scores(s.visible, key, key_count, s.scores_t);
  }
  differentiate_softmax(s, key_count);
  add_to_keys(s.scores_t, s.upstream, ld, key_count, count, diagonal, keys.dvalues + at);
  add_to_keys(s.dscores_t, s.queries, ld, key_count, count, diagonal, keys.dkeys + at);
  multiply_values(keys.keys + at, ld, s.dscores_t, head_dim, key_count, diagonal, !first,
                  s.dqueries_t);
}

template <class T>
void backward_queries(const AttentionBackwardJob& job, std::int64_t row, std::int64_t head,
                      std::int64_t query, BackwardScratch& scratch) {
  const HeadShape& heads = job.shape.heads;
  const std::int64_t ld = padded_head_dim(heads.head_dim);
  const std::int64_t count = std::min(block_size, job.shape.sequence - query);
  QuerySide& s = scratch.query_side;
  load_queries<T>(job, row, head, query, count, s);
  const std::int64_t begin = s.visible.key_begin / block_size * block_size;
  for (std::int64_t key = begin; key < s.visible.key_end; key += block_size) {
    backward_block(job, scratch.key_side, key, std::min(block_size, s.visible.key_end - key), count,
                   key == begin, key == job.query_offset + query, s);
  }
  transpose(s.dqueries_t, block_size, (heads.head_dim + 3) / 4 * 4, block_size, job.shape.scale,
            s.context, ld);
  const std::int64_t token = row * job.shape.sequence + query;
  T* const dqueries =
      job.dqkv->mutable_data<T>() + token * heads.packed_width() + head * heads.head_dim;
  for (std::int64_t q = 0; q < count; ++q) {
    unpack_row(s.context + q * ld, dqueries + q * heads.packed_width(), heads.head_dim,
               splat(1.0F));
  }
}

// Blocks of queries [begin, end) of all query heads of one key/value head, in head order.
template <class T>
void backward_chunk(Stream& stream, const AttentionBackwardJob& job, std::int64_t index, int lane) {
  const HeadShape& heads = job.shape.heads;
  const std::int64_t ld = padded_head_dim(heads.head_dim);
  const std::int64_t row_group = index / job.chunks;
  const std::int64_t row = row_group / heads.kv_heads;
  const std::int64_t group = row_group % heads.kv_heads;
  const std::int64_t sequence = job.key_count();
  BackwardScratch scratch(stream, lane, job);
  KeySide& keys = scratch.key_side;
  if (job.partials != nullptr) {
    keys.dkeys = job.partials + index * 2 * sequence * ld;
    keys.dvalues = keys.dkeys + sequence * ld;
  }
  const T* const from = job.keys<T>(row, group);
  pack_rows(from, job.key_stride(), sequence, heads.head_dim, keys.keys, ld, sequence);
  pack_rows(from + heads.kv_heads * heads.head_dim, job.key_stride(), sequence, heads.head_dim,
            keys.values, ld, sequence);
  std::memset(keys.dkeys, 0, static_cast<std::size_t>(sequence * ld) * sizeof(float));
  std::memset(keys.dvalues, 0, static_cast<std::size_t>(sequence * ld) * sizeof(float));
  const std::int64_t blocks = job.blocks();
  const std::int64_t per_group = heads.heads / heads.kv_heads;
  const std::int64_t chunk = index % job.chunks;
  const std::int64_t end = job.chunk_begin(chunk + 1);
  for (std::int64_t unit = job.chunk_begin(chunk); unit < end; ++unit) {
    backward_queries<T>(job, row, group * per_group + unit / blocks, unit % blocks * block_size,
                        scratch);
  }
  if (job.partials == nullptr) {
    store_key_gradients<T>(job, row, group, 0, sequence, keys.dkeys, keys.dvalues);
  }
}

template <class T>
void backward_all(Stream& stream, const AttentionBackwardJob& job) {
  run_backward<T>(stream, job, [&](std::int64_t index, int lane) {
    backward_chunk<T>(stream, job, index, lane);
  });
}

void attention_backward_any(Stream& stream, const AttentionBackwardJob& job) {
  job.qkv->dtype() == DType::f32 ? backward_all<float>(stream, job)
                                 : backward_all<BFloat16>(stream, job);
}

}  // namespace
}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

HWY_EXPORT(attention_backward_any);

void cpu::attention_backward(Stream& stream, AttentionBackwardJob job) {
  const HeadShape& heads = job.shape.heads;
  const std::int64_t row_groups = job.shape.batch * heads.kv_heads;
  if (row_groups * job.shape.sequence == 0) return;
  // With fewer heads than this, a head's blocks of queries are cut into chunks that run side by
  // side.
  constexpr std::int64_t tasks_wanted = 16;
  job.chunks = std::min(job.units(), ceil_div(tasks_wanted, row_groups));
  Tensor partials;
  if (job.chunks > 1) {
    partials = stream.allocate(DType::f32, {row_groups * job.chunks, 2 * job.key_count(),
                                            padded_head_dim(heads.head_dim)});
    job.partials = partials.mutable_data<float>();
  }
  if (job.qkv->dtype() == DType::bf16 && attention_backward_dots(stream, job)) return;
  HWY_DYNAMIC_DISPATCH(attention_backward_any)(stream, job);
}

}  // namespace collie::kernels
#endif
