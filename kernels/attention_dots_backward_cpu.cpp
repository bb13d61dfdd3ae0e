// Backward attention of bf16 on bf16 dot products: weights and their gradients are rounded to bf16
// before they multiply; all sums are in f32.
#include <immintrin.h>

#include <cstring>

#include "kernels/attention_impl.hpp"
#include "kernels/dispatch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention_dots_backward_cpu.cpp"
#include "kernels/simd.hpp"
// The targets come first.
#include "kernels/attention_dots_impl.hpp"
#include "kernels/attention_gradients_impl.hpp"

#if HWY_TARGET == HWY_AVX3

COLLIE_BEFORE_BF16_DOTS
namespace collie::kernels::HWY_NAMESPACE {
namespace {

// One key/value head: its rows in qkv, the keys as units of two rows, and the sums [S, ld].
struct DotKeys {
  const BFloat16 *keys, *values;
  std::int64_t stride;
  BFloat16* key_pairs;
  float *dkeys, *dvalues;
};

// One block of queries, transposed and as units of two rows; weights and dscores as units of two
// queries, dscores also of two keys.
struct DotQueries {
  BFloat16 *queries_t, *upstream_t, *query_pairs, *upstream_pairs;
  BFloat16 *weights, *dscores, *dscore_pairs;
  float *scores_t, *dscores_t, *dqueries, *lse, *delta;
  Visible visible;
};

struct DotBackwardScratch {
  DotKeys keys;
  DotQueries queries;

  DotBackwardScratch(Stream& stream, int lane, const AttentionBackwardJob& job) {
    const std::int64_t ld = padded_head_dim(job.head_dim());
    const std::int64_t block = block_size * ld;
    const std::int64_t square = block_size * block_size;
    const std::int64_t rows = (job.key_count() + 1) / 2 * 2 * ld;
    const std::int64_t bytes =
        2 * (4 * block + 3 * square + rows) + 4 * (2 * square + block) + 4 * 2 * rows;
    ScratchCutter cutter(stream.scratch(lane, static_cast<std::size_t>(bytes + 4096)));
    DotQueries& q = queries;
    for (BFloat16** side : {&q.queries_t, &q.upstream_t, &q.query_pairs, &q.upstream_pairs}) {
      *side = cutter.take<BFloat16>(block);
    }
    for (BFloat16** side : {&q.weights, &q.dscores, &q.dscore_pairs}) {
      *side = cutter.take<BFloat16>(square);
    }
    q.scores_t = cutter.take(square);
    q.dscores_t = cutter.take(square);
    q.dqueries = cutter.take(block);
    q.lse = cutter.take(block_size);
    q.delta = cutter.take(block_size);
    q.visible.first_key = cutter.take<std::int32_t>(block_size);
    q.visible.last_key = cutter.take<std::int32_t>(block_size);
    keys.key_pairs = cutter.take<BFloat16>(rows);
    keys.dkeys = cutter.take(rows);
    keys.dvalues = cutter.take(rows);
  }
};

HWY_NOINLINE void load_query_units(const AttentionBackwardJob& job, std::int64_t row,
                                   std::int64_t head, std::int64_t query, std::int64_t count,
                                   DotQueries& s) {
  const HeadShape& heads = job.shape.heads;
  const std::int64_t head_dim = heads.head_dim;
  const std::int64_t ld = padded_head_dim(head_dim);
  const std::int64_t token = row * job.shape.sequence + query;
  const std::int64_t width = heads.heads * head_dim;
  const std::int64_t packed = heads.packed_width();
  const BFloat16* const queries = job.qkv->data<BFloat16>() + token * packed + head * head_dim;
  const BFloat16* const upstream = job.dcontext->data<BFloat16>() + token * width + head * head_dim;
  const BFloat16* const context = job.context->data<BFloat16>() + token * width + head * head_dim;
  transpose_rows(queries, packed, count, head_dim / 2, s.queries_t);
  transpose_rows(upstream, width, count, head_dim / 2, s.upstream_t);
  pair_rows(queries, packed, count, head_dim, ld, s.query_pairs);
  pair_rows(upstream, width, count, head_dim, ld, s.upstream_pairs);
  const float* const lse =
      job.lse->data<float>() + (row * heads.heads + head) * job.shape.sequence + query;
  for (std::int64_t q = 0; q < block_size; ++q) {
    FloatVec sum = zero();
    for (std::int64_t i = 0; q < count && i < head_dim; i += lanes) {
      const std::int64_t here = std::min(lanes, head_dim - i);
      sum = hn::MulAdd(load_n(upstream + q * width + i, here),
                       load_n(context + q * width + i, here), sum);
    }
    s.delta[q] = sum_lanes(sum);
    s.lse[q] = q < count ? lse[q] * log2_e : 1e30F;  // no weight past the last query
  }
  find_visible(job.positions_t->data<std::int32_t>() + token, job.shape.window,
               job.query_offset + query, count, s.visible);
}

// Weights P and dS = P * (dP - D) of 32 queries and one key; returns dS.
struct TwoVectors {
  FloatVec first, second;
};
HWY_INLINE TwoVectors differentiate(const DotQueries& s, std::int64_t at, std::int64_t q) {
  TwoVectors weights, dscores;
  const auto one = [&](std::int64_t i, FloatVec& weight, FloatVec& dscore) HWY_ATTR {
    weight = exp2_nonpositive(hn::Sub(load(s.scores_t + at + i), load(s.lse + q + i)));
    dscore = hn::Mul(weight, hn::Sub(load(s.dscores_t + at + i), load(s.delta + q + i)));
  };
  one(0, weights.first, dscores.first);
  one(lanes, weights.second, dscores.second);
  _mm512_storeu_si512(s.weights + at,
                      (__m512i)_mm512_cvtne2ps_pbh(weights.second.raw, weights.first.raw));
  _mm512_storeu_si512(s.dscores + at,
                      (__m512i)_mm512_cvtne2ps_pbh(dscores.second.raw, dscores.first.raw));
  return dscores;
}

HWY_NOINLINE void differentiate_units(const DotQueries& s, std::int64_t key_count) {
  for (std::int64_t k = 0; k < key_count; k += 2) {
    const bool is_last = k + 1 == key_count;
#pragma GCC unroll 2
    for (std::int64_t q = 0; q < block_size; q += 2 * lanes) {
      const std::int64_t at = k * block_size + q;
      const TwoVectors even = differentiate(s, at, q);
      const TwoVectors odd =
          is_last ? TwoVectors{zero(), zero()} : differentiate(s, at + block_size, q);
      BFloat16* const pairs = s.dscore_pairs + k * block_size + 2 * q;
      _mm512_storeu_si512(pairs, units_of(even.first, odd.first));
      _mm512_storeu_si512(pairs + 2 * lanes, units_of(even.second, odd.second));
    }
  }
}

// sums[keys, ld] += weights[keys, queries] rows[queries, ld]; units are pairs of queries.
HWY_INLINE void dot_keys(const BFloat16* weights, const BFloat16* rows, std::int64_t ld,
                         std::int64_t key_count, std::int64_t count, bool diagonal, float* sums) {
  DotProduct product{weights, half_block, rows, ld, sums, ld, key_count, ld, (count + 1) / 2, true};
  if (diagonal && key_count > half_block) {
    product.m = half_block;
    multiply_dots<false>(product);
    product.a += half_block * block_size + half_block;
    product.b += half_block * ld;
    product.c += half_block * ld;
    product.m = key_count - half_block;
    product.k -= half_block / 2;
  }
  multiply_dots<false>(product);
}

HWY_NOINLINE void dot_backward_block(const AttentionBackwardJob& job, const DotKeys& keys,
                                     std::int64_t key, std::int64_t key_count, std::int64_t count,
                                     bool first, bool diagonal, const DotQueries& s) {
  const std::int64_t units = job.head_dim() / 2;
  const std::int64_t ld = padded_head_dim(job.head_dim());
  dot_scores(keys.keys + key * keys.stride, keys.stride, s.queries_t, units, key_count, diagonal,
             job.shape.scale * log2_e, s.scores_t);
  dot_scores(keys.values + key * keys.stride, keys.stride, s.upstream_t, units, key_count, diagonal,
             1.0F, s.dscores_t);
  if (s.visible.needs_mask(key, key + key_count)) {
    mask_scores(s.visible, key, key_count, s.scores_t);
  }
  differentiate_units(s, key_count);
  dot_keys(s.weights, s.upstream_pairs, ld, key_count, count, diagonal, keys.dvalues + key * ld);
  dot_keys(s.dscores, s.query_pairs, ld, key_count, count, diagonal, keys.dkeys + key * ld);
  dot_values(s.dscore_pairs, keys.key_pairs + key * ld, ld, key_count, count, diagonal, !first,
             s.dqueries);
}

void dot_backward_queries(const AttentionBackwardJob& job, std::int64_t row, std::int64_t head,
                          std::int64_t query, DotBackwardScratch& scratch) {
  const HeadShape& heads = job.shape.heads;
  const std::int64_t ld = padded_head_dim(heads.head_dim);
  const std::int64_t count = std::min(block_size, job.shape.sequence - query);
  DotQueries& s = scratch.queries;
  load_query_units(job, row, head, query, count, s);
  const std::int64_t begin = s.visible.key_begin / block_size * block_size;
  for (std::int64_t key = begin; key < s.visible.key_end; key += block_size) {
    dot_backward_block(job, scratch.keys, key, std::min(block_size, s.visible.key_end - key), count,
                       key == begin, key == job.query_offset + query, s);
  }
  const std::int64_t token = row * job.shape.sequence + query;
  BFloat16* const dqueries =
      job.dqkv->mutable_data<BFloat16>() + token * heads.packed_width() + head * heads.head_dim;
  for (std::int64_t q = 0; q < count; ++q) {
    unpack_row(s.dqueries + q * ld, dqueries + q * heads.packed_width(), heads.head_dim,
               splat(job.shape.scale));
  }
}

// As backward_chunk of the f32 form.
void dot_backward_chunk(Stream& stream, const AttentionBackwardJob& job, std::int64_t index,
                        int lane) {
  const HeadShape& heads = job.shape.heads;
  const std::int64_t ld = padded_head_dim(heads.head_dim);
  const std::int64_t row = index / job.chunks / heads.kv_heads;
  const std::int64_t group = index / job.chunks % heads.kv_heads;
  const std::int64_t sequence = job.key_count();
  DotBackwardScratch scratch(stream, lane, job);
  DotKeys& keys = scratch.keys;
  if (job.partials != nullptr) {
    keys.dkeys = job.partials + index * 2 * sequence * ld;
    keys.dvalues = keys.dkeys + sequence * ld;
  }
  keys.stride = job.key_stride();
  keys.keys = job.keys<BFloat16>(row, group);
  keys.values = keys.keys + heads.kv_heads * heads.head_dim;
  pair_rows(keys.keys, keys.stride, sequence, heads.head_dim, ld, keys.key_pairs);
  std::memset(keys.dkeys, 0, static_cast<std::size_t>(sequence * ld) * sizeof(float));
  std::memset(keys.dvalues, 0, static_cast<std::size_t>(sequence * ld) * sizeof(float));
  const std::int64_t per_group = heads.heads / heads.kv_heads;
  const std::int64_t chunk = index % job.chunks;
  const std::int64_t end = job.chunk_begin(chunk + 1);
  for (std::int64_t unit = job.chunk_begin(chunk); unit < end; ++unit) {
    dot_backward_queries(job, row, group * per_group + unit / job.blocks(),
                         unit % job.blocks() * block_size, scratch);
  }
  if (job.partials == nullptr) {
    store_key_gradients<BFloat16>(job, row, group, 0, sequence, keys.dkeys, keys.dvalues);
  }
}

}  // namespace
}  // namespace collie::kernels::HWY_NAMESPACE
COLLIE_AFTER_BF16_DOTS

#endif  // HWY_AVX3

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {
namespace {

bool attention_backward_dots(Stream& stream, const AttentionBackwardJob& job) {
#if HWY_TARGET == HWY_AVX3
  if (!takes_bf16_dots(job.head_dim())) return false;
  run_backward<BFloat16>(stream, job, [&](std::int64_t index, int lane) {
    dot_backward_chunk(stream, job, index, lane);
  });
  return true;
#else
  static_cast<void>(stream), static_cast<void>(job);
  return false;
#endif
}

}  // namespace
}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace collie::kernels {

HWY_EXPORT(attention_backward_dots);

bool cpu::attention_backward_dots(Stream& stream, const AttentionBackwardJob& job) {
  return HWY_DYNAMIC_DISPATCH(attention_backward_dots)(stream, job);
}

}  // namespace collie::kernels
#endif
