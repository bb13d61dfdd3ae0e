// Internal: the gradients of keys and values that tasks of a backward pass add up, compiled once
// per SIMD target.
#if defined(COLLIE_KERNELS_ATTENTION_GRADIENTS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef COLLIE_KERNELS_ATTENTION_GRADIENTS_INL
#undef COLLIE_KERNELS_ATTENTION_GRADIENTS_INL
#else
#define COLLIE_KERNELS_ATTENTION_GRADIENTS_INL
#endif

#include "kernels/attention_blocks_impl.hpp"
#include "kernels/dispatch.hpp"

HWY_BEFORE_NAMESPACE();
namespace collie::kernels::HWY_NAMESPACE {

// to[columns] (+)= factor * from[columns]
HWY_INLINE void add_row(const float* from, float factor, bool accumulate, std::int64_t columns,
                        float* to) {
  if (!accumulate) return unpack_row(from, to, columns, splat(factor));
  std::int64_t column = 0;
  for (; column + lanes <= columns; column += lanes) {
    store(hn::MulAdd(load(from + column), splat(factor), load(to + column)), to + column);
  }
  const std::int64_t rest = columns - column;
  if (rest == 0) return;
  const FloatVec sum =
      hn::MulAdd(load_partial(from + column, rest), splat(factor), load_partial(to + column, rest));
  store_partial(sum, to + column, rest);
}

// Where the gradient of token k's key of one head belongs (its value's: kv_heads * head_dim on),
// in dkv and in dqkv.
HWY_INLINE float* slice_gradient(const AttentionBackwardJob& job, std::int64_t row,
                                 std::int64_t group, std::int64_t k) {
  return job.dkv->mutable_data<float>() + (row * job.kv_sequence() + k) * job.kv_width() +
         group * job.head_dim();
}
template <class T>
HWY_INLINE T* key_gradient(const AttentionBackwardJob& job, std::int64_t row, std::int64_t group,
                           std::int64_t k) {
  const HeadShape& heads = job.shape.heads;
  return job.dqkv->mutable_data<T>() +
         (row * job.shape.sequence + k - job.query_offset) * heads.packed_width() +
         (heads.heads + group) * heads.head_dim;
}

// The sums dkeys and dvalues [key_count(), ld] of one head go out for keys [begin, end): of whole
// rows to dqkv; of a slice they are added to dkv, and its own tokens' total goes to dqkv.
template <class T>
void store_key_gradients(const AttentionBackwardJob& job, std::int64_t row, std::int64_t group,
                         std::int64_t begin, std::int64_t end, const float* dkeys,
                         const float* dvalues) {
  const std::int64_t head_dim = job.head_dim();
  const std::int64_t to_values = job.shape.heads.kv_heads * head_dim;
  const std::int64_t ld = padded_head_dim(head_dim);
  if (job.dkv == nullptr) {
    T* to = key_gradient<T>(job, row, group, begin);
    for (std::int64_t k = begin; k < end; ++k, to += job.shape.heads.packed_width()) {
      unpack_row(dkeys + k * ld, to, head_dim, splat(job.shape.scale));
      unpack_row(dvalues + k * ld, to + to_values, head_dim, splat(1.0F));
    }
    return;
  }
  const bool accumulate = job.key_count() < job.kv_sequence();  // not the last slice
  for (std::int64_t k = begin; k < end; ++k) {
    float* const sum = slice_gradient(job, row, group, k);
    add_row(dkeys + k * ld, job.shape.scale, accumulate, head_dim, sum);
    add_row(dvalues + k * ld, 1.0F, accumulate, head_dim, sum + to_values);
    if (k < job.query_offset) continue;
    T* const to = key_gradient<T>(job, row, group, k);
    unpack_row(sum, to, head_dim, splat(1.0F));
    unpack_row(sum + to_values, to + to_values, head_dim, splat(1.0F));
  }
}

// Sums the chunks of one key/value head in their order, for keys [begin, end).
template <class T>
void sum_chunks(const AttentionBackwardJob& job, std::int64_t row_group, std::int64_t begin,
                std::int64_t end) {
  const HeadShape& heads = job.shape.heads;
  const std::int64_t ld = padded_head_dim(heads.head_dim);
  const std::int64_t size = job.key_count() * ld;
  float* const first = job.partials + row_group * job.chunks * 2 * size;
  for (std::int64_t chunk = 1; chunk < job.chunks; ++chunk) {
    for (float* part : {first, first + size}) {
      for (std::int64_t i = begin * ld; i < end * ld; i += lanes) {
        store(hn::Add(load(part + i), load(part + chunk * 2 * size + i)), part + i);
      }
    }
  }
  store_key_gradients<T>(job, row_group / heads.kv_heads, row_group % heads.kv_heads, begin, end,
                         first, first + size);
}

// chunk(index, lane) does chunk index % job.chunks of a row and key/value head.
template <class T, class Chunk>
void run_backward(Stream& stream, const AttentionBackwardJob& job, const Chunk& chunk) {
  const std::int64_t row_groups = job.shape.batch * job.shape.heads.kv_heads;
  stream.parallel_for(row_groups * job.chunks, chunk);
  if (job.partials == nullptr) return;
  const std::int64_t blocks = ceil_div(job.key_count(), block_size);
  stream.parallel_for(row_groups * blocks, [&](std::int64_t index, int) {
    const std::int64_t begin = index % blocks * block_size;
    sum_chunks<T>(job, index / blocks, begin, std::min(job.key_count(), begin + block_size));
  });
}

}  // namespace collie::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target toggle
