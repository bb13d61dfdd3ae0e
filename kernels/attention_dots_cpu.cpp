// Forward attention of bf16 on bf16 dot products: scores and sums in f32, weights rounded to bf16
// before they multiply the values.
#include <immintrin.h>

#include <cmath>
#include <cstring>

#include "kernels/attention_impl.hpp"
#include "kernels/dispatch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention_dots_cpu.cpp"
#include "kernels/simd.hpp"
// The targets come first.
#include "kernels/attention_dots_impl.hpp"

#if HWY_TARGET == HWY_AVX3

COLLIE_BEFORE_BF16_DOTS
namespace collie::kernels::HWY_NAMESPACE {
namespace {

using Job = AttentionForwardJob<BFloat16>;

struct DotScratch {
  BFloat16 *queries_t, *values, *weights;
  float *scores_t, *out, *maximum, *total;
  Visible visible;

  DotScratch(Stream& stream, int lane, std::int64_t ld) {
    const std::int64_t floats = 3 * block_size * ld + 2 * block_size * block_size;
    ScratchCutter cutter(stream.scratch(lane, static_cast<std::size_t>(4 * floats + 4096)));
    queries_t = cutter.take<BFloat16>(block_size * ld);
    values = cutter.take<BFloat16>(block_size * ld);
    weights = cutter.take<BFloat16>(block_size * block_size);
    scores_t = cutter.take(block_size * block_size);
    out = cutter.take(block_size * ld);
    maximum = cutter.take(block_size);
    total = cutter.take(block_size);
    visible.first_key = cutter.take<std::int32_t>(block_size);
    visible.last_key = cutter.take<std::int32_t>(block_size);
  }
};

constexpr int block_vectors = static_cast<int>(block_size / lanes);

// The new maxima of all queries; totals and the first `count` rows of `out`, which stand under the
// old ones, are rescaled.
HWY_NOINLINE void raise_maxima(DotScratch& s, std::int64_t key_count, std::int64_t count,
                               std::int64_t ld) {
  FloatVec top[block_vectors];
#pragma GCC unroll 4
  for (int v = 0; v < block_vectors; ++v) top[v] = load(s.maximum + v * lanes);
  for (std::int64_t k = 0; k < key_count; ++k) {
#pragma GCC unroll 4
    for (int v = 0; v < block_vectors; ++v) {
      top[v] = hn::Max(top[v], load(s.scores_t + k * block_size + v * lanes));
    }
  }
  HWY_ALIGN float rescale[block_size];
  for (int v = 0; v < block_vectors; ++v) {
    const FloatVec factor = exp2_nonpositive(hn::Sub(load(s.maximum + v * lanes), top[v]));
    store(factor, rescale + v * lanes);
    store(hn::Mul(load(s.total + v * lanes), factor), s.total + v * lanes);
    store(top[v], s.maximum + v * lanes);
  }
  for (std::int64_t q = 0; q < count; ++q) {
    if (rescale[q] == 1.0F) continue;
    const FloatVec factor = splat(rescale[q]);
    for (std::int64_t i = q * ld; i < (q + 1) * ld; i += lanes) {
      store(hn::Mul(load(s.out + i), factor), s.out + i);
    }
  }
}

// Scores become weights under the maximum, as units of two keys.
HWY_NOINLINE void weigh(DotScratch& s, std::int64_t key_count) {
  FloatVec top[block_vectors];
  FloatVec sum[block_vectors];
#pragma GCC unroll 4
  for (int v = 0; v < block_vectors; ++v) {
    top[v] = load(s.maximum + v * lanes);
    sum[v] = load(s.total + v * lanes);
  }
  for (std::int64_t k = 0; k < key_count; k += 2) {
    const float* const scores = s.scores_t + k * block_size;
    const bool is_last = k + 1 == key_count;
#pragma GCC unroll 4
    for (int v = 0; v < block_vectors; ++v) {
      const FloatVec even = exp2_nonpositive(hn::Sub(load(scores + v * lanes), top[v]));
      FloatVec odd = zero();
      if (!is_last) {
        odd = exp2_nonpositive(hn::Sub(load(scores + block_size + v * lanes), top[v]));
      }
      sum[v] = hn::Add(sum[v], hn::Add(even, odd));
      _mm512_storeu_si512(s.weights + k * block_size + 2 * v * lanes, units_of(even, odd));
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < block_vectors; ++v) store(sum[v], s.total + v * lanes);
}

// All of one block of queries of one head.
void dot_forward_block(Stream& stream, const Job& job, std::int64_t row, std::int64_t head,
                       std::int64_t query, int lane) {
  const std::int64_t head_dim = job.heads.head_dim;
  const std::int64_t ld = padded_head_dim(head_dim);
  const std::int64_t count = std::min(block_size, job.query_count - query);
  const std::int64_t group = head * job.heads.kv_heads / job.heads.heads;
  DotScratch s(stream, lane, ld);
  transpose_rows(
      job.queries + row * job.query_batch_stride + query * job.query_stride + head * head_dim,
      job.query_stride, count, head_dim / 2, s.queries_t);
  std::fill_n(s.maximum, block_size, -1e30F);  // finite: -infinity - -infinity is a NaN
  std::fill_n(s.total, block_size, 0.0F);
  const std::int64_t index = job.query_offset + query;
  find_visible(job.positions == nullptr ? nullptr : job.positions + row * job.query_count + query,
               job.window, index, count, s.visible);
  const std::int64_t first = s.visible.key_begin / block_size * block_size;
  const std::int64_t offset = row * job.key_batch_stride + group * head_dim;
  for (std::int64_t key = first; key < s.visible.key_end; key += block_size) {
    const std::int64_t keys = std::min(block_size, s.visible.key_end - key);
    const bool diagonal = key == index;
    dot_scores(job.keys + offset + key * job.key_stride, job.key_stride, s.queries_t, head_dim / 2,
               keys, diagonal, job.scale * log2_e, s.scores_t);
    if (s.visible.needs_mask(key, key + keys)) mask_scores(s.visible, key, keys, s.scores_t);
    raise_maxima(s, keys, key == first ? 0 : count, ld);
    weigh(s, keys);
    pair_rows(job.values + offset + key * job.key_stride, job.key_stride, keys, head_dim, ld,
              s.values);
    dot_values(s.weights, s.values, ld, keys, count, diagonal, key != first, s.out);
  }
  store_context(job, row, head, query, count, s.out, ld, s.total, s.maximum);
}

}  // namespace
}  // namespace collie::kernels::HWY_NAMESPACE
COLLIE_AFTER_BF16_DOTS

#endif  // HWY_AVX3

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {
namespace {

bool attention_forward_dots(Stream& stream, const AttentionForwardJob<BFloat16>& job) {
#if HWY_TARGET == HWY_AVX3
  // A unit does not straddle two heads.
  if (!takes_bf16_dots(job.heads.head_dim)) return false;
  const std::int64_t blocks = ceil_div(job.query_count, block_size);
  stream.parallel_for(job.batch * job.heads.heads * blocks, [&](std::int64_t index, int lane) {
    const std::int64_t row_head = index / blocks;
    const std::int64_t block = blocks - 1 - index % blocks;  // the longest first
    dot_forward_block(stream, job, row_head / job.heads.heads, row_head % job.heads.heads,
                      block * block_size, lane);
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

HWY_EXPORT(attention_forward_dots);

bool cpu::attention_forward_dots(Stream& stream, const AttentionForwardJob<BFloat16>& job) {
  return HWY_DYNAMIC_DISPATCH(attention_forward_dots)(stream, job);
}

}  // namespace collie::kernels
#endif
